// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"errors"
	"testing"
)

func TestOnlyTheSameSecretOpens(t *testing.T) {
	data, err := seal("one", []byte("authorities"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := unseal("one", data); err != nil || !bytes.Equal(plain, []byte("authorities")) {
		t.Errorf("got %q, %v", plain, err)
	}
	for _, test := range [][]byte{data, data[:20], nil} {
		if _, err := unseal("two", test); !errors.Is(err, errOtherToken) {
			t.Errorf("got %v", err)
		}
	}
}
