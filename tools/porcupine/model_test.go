package main

import (
	"strings"
	"testing"
	"time"
)

func verdictOf(t *testing.T, lines ...string) Verdict {
	t.Helper()
	histories, err := readHistories(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return judge(histories, time.Minute, "")
}

const (
	first     = `{"object":"a","call":1,"return":10,"kind":"acquire","token":1,"mode":"exclusive"}`
	firstEnd  = `{"object":"a","call":11,"return":12,"kind":"end","token":1}`
	second    = `{"object":"a","call":2,"return":20,"kind":"acquire","token":2,"mode":"exclusive"}`
	secondEnd = `{"object":"a","call":21,"return":22,"kind":"end","token":2}`
)

func TestTheNextHolderIsGrantedAfterTheOneBefore(t *testing.T) {
	if verdict := verdictOf(t, second, secondEnd, firstEnd, first); len(verdict.Illegal) > 0 || verdict.Operations != 4 {
		t.Fatal(verdict)
	}
}

func TestFaultyHistoriesAreIllegal(t *testing.T) {
	for name, lines := range map[string][]string{
		"two holders":         {first, strings.Replace(firstEnd, `"call":11,"return":12`, `"call":21,"return":22`, 1), second},
		"an older token last": {strings.Replace(first, `"token":1`, `"token":3`, 1), strings.Replace(firstEnd, `"token":1`, `"token":3`, 1), second},
		"a token twice":       {first, firstEnd, strings.Replace(second, `"token":2`, `"token":1`, 1)},
		"an end without hold": {firstEnd},
		"a writer and a reader": {
			strings.Replace(first, "exclusive", "shared", 1), second,
		},
		"too many permits": {
			`{"object":"a","call":1,"return":2,"kind":"acquire","token":1,"mode":"semaphore","permits":2,"limit":3}`,
			`{"object":"a","call":3,"return":4,"kind":"acquire","token":2,"mode":"semaphore","permits":2,"limit":3}`,
		},
		"a late write accepted": {
			`{"object":"r","call":1,"return":2,"kind":"write","token":2,"value":5,"accepted":true}`,
			`{"object":"r","call":3,"return":4,"kind":"write","token":1,"value":6,"accepted":true}`,
		},
		"a write lost": {
			`{"object":"r","call":1,"return":2,"kind":"write","token":1,"value":5,"accepted":true}`,
			`{"object":"r","call":3,"return":4,"kind":"read","token":2,"value":0,"accepted":true}`,
		},
	} {
		if verdict := verdictOf(t, lines...); len(verdict.Illegal) != 1 {
			t.Errorf("%s: %+v", name, verdict)
		}
	}
}

func TestSharersHoldTogether(t *testing.T) {
	shared := strings.Replace(first, "exclusive", "shared", 1)
	if verdict := verdictOf(t, shared, strings.Replace(second, "exclusive", "shared", 1)); len(verdict.Illegal) > 0 {
		t.Fatal(verdict)
	}
}

func TestWhatCannotBeJudgedIsUnknown(t *testing.T) {
	lines := []string{}
	for i := range 200 {
		kind := `"kind":"write","token":1,"accepted":true`
		lines = append(lines, `{"object":"r","call":1,"return":1000,`+kind+`,"value":`+string(rune('1'+i%9))+`}`)
	}
	// Nobody can have read that, and no order of so many writes proves it in a moment.
	lines = append(lines, `{"object":"r","call":1,"return":1000,"kind":"read","token":1,"value":99,"accepted":true}`)
	histories, err := readHistories(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if verdict := judge(histories, 50*time.Millisecond, ""); len(verdict.Unknown) != 1 {
		t.Fatal(verdict)
	}
}
