// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"strings"
	"testing"
)

func TestFullFormGoesThereAndBack(t *testing.T) {
	ca := []byte("a certificate")
	parsed, err := Parse(Format(ca, "server", "s:e:c")+"\n", "node")
	if err != nil {
		t.Fatal(err)
	}
	if parsed.User != "server" || parsed.Secret != "s:e:c" || parsed.CheckCA(ca) != nil {
		t.Errorf("got %+v", parsed)
	}
	if err := parsed.CheckCA([]byte("another")); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("another CA was accepted: %v", err)
	}
}

func TestShortForm(t *testing.T) {
	parsed, err := Parse(" sekret ", "node")
	if err != nil || parsed != (Token{User: "node", Secret: "sekret"}) {
		t.Errorf("got %+v, %v", parsed, err)
	}
	if parsed.CheckCA([]byte("any")) != nil {
		t.Error("a token without a hash must accept any CA")
	}
}

func TestRefused(t *testing.T) {
	hash := strings.Repeat("0", 64)
	for _, text := range []string{"", "K10abc::server:x", "K10" + hash + "::server:", "K10" + hash + "::x"} {
		if parsed, err := Parse(text, "node"); err == nil {
			t.Errorf("%q gave %+v", text, parsed)
		}
	}
}
