package service

import (
	"os/exec"
	"syscall"
)

// dieWithParent has a process end with this one, also when this one crashes.
func dieWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
