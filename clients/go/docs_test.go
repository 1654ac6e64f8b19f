package holdfast_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-lock/holdfast/clients/go/internal/service"
)

// block is a block of code of the manual.
type block struct{ language, text string }

func blocksOfTheManual(t *testing.T) []block {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(service.Root(), "docs/clients/go.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	for _, match := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```").FindAllSubmatch(page, -1) {
		blocks = append(blocks, block{string(match[1]), string(match[2])})
	}
	return blocks
}

// inFolder runs commands as a user does, in a folder, with the checkout in $HOLDFAST.
func inFolder(t *testing.T, folder, commands string) string {
	t.Helper()
	shell := exec.Command("bash", "-euc", commands)
	shell.Dir = folder
	shell.Env = append(os.Environ(), "HOLDFAST="+service.Root(), "GOFLAGS=-mod=mod", "GOWORK=off")
	var stderr bytes.Buffer
	shell.Stderr = &stderr
	output, err := shell.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", commands, err, output, stderr.String())
	}
	return string(output)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	// The server of the manual is that of the tests.
	text = strings.ReplaceAll(text, "127.0.0.1:7400", shared.Addresses()[0])
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFirstLockIsHeldFromAnEmptyFolderInTheWordsOfTheManual(t *testing.T) {
	blocks := blocksOfTheManual(t)
	var languages []string
	for _, each := range blocks[:4] {
		languages = append(languages, each.language)
	}
	if got := strings.Join(languages, " "); got != "sh go sh text" {
		t.Fatalf("the manual begins with %s", got)
	}
	folder := t.TempDir()
	inFolder(t, folder, blocks[0].text)
	write(t, filepath.Join(folder, "main.go"), blocks[1].text)
	output := inFolder(t, folder, blocks[2].text)
	if want := regexp.MustCompile(`\d+`).ReplaceAllString(regexp.QuoteMeta(blocks[3].text), `\d+`); !regexp.MustCompile(
		"^" + want + "$").MatchString(output) {
		t.Errorf("it said %q, and the manual says %q", output, blocks[3].text)
	}
}

// around is what the functions of the manual call.
const around = `
func load(context.Context, uint64) error     { return nil }
func schedule(context.Context, uint64) error { return nil }

func orders() []int                     { return []int{42} }
func process(context.Context, int)      {}

type account struct {
	Fence   uint64
	Balance int
}

var accounts = map[string]*account{}

func database(name string) *account {
	if accounts[name] == nil {
		accounts[name] = &account{}
	}
	return accounts[name]
}
`

func TestEveryFunctionOfTheManualCompilesAndRuns(t *testing.T) {
	var code, calls strings.Builder
	function := regexp.MustCompile(`(?m)^func (\w+)\(ctx context\.Context, client \*holdfast\.Client\) error \{$`)
	count := 0
	for _, each := range blocksOfTheManual(t)[2:] {
		if each.language != "go" {
			continue
		}
		names := function.FindAllStringSubmatch(each.text, -1)
		if len(names) != 1 {
			t.Errorf("a block has %d functions:\n%s", len(names), each.text)
			continue
		}
		count++
		code.WriteString(each.text)
		fmt.Fprintf(&calls, "\tif err := %s(ctx, client); err != nil {\n\t\tlog.Fatal(%q, err)\n\t}\n",
			names[0][1], names[0][1]+": ")
	}
	if count < 9 {
		t.Fatalf("the manual has only %d functions", count)
	}
	code.WriteString(around)
	fmt.Fprintf(&code, `
func main() {
	client, err := holdfast.Dial([]string{"127.0.0.1:7400"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
%s}
`, calls.String())
	var imports strings.Builder
	for _, name := range []string{"context", "errors", "fmt", "log", "time"} {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(code.String()) {
			fmt.Fprintf(&imports, "\t%q\n", name)
		}
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "main.go"), "package main\n\nimport (\n"+imports.String()+
		"\n\tholdfast \"github.com/holdfast-lock/holdfast/clients/go\"\n)\n\n"+code.String())
	output := inFolder(t, folder, blocksOfTheManual(t)[0].text+"go mod tidy\ngo vet .\ngo run .\n")
	if !strings.Contains(output, "led from 10.0.0.7:8081") {
		t.Errorf("it said %q", output)
	}
}
