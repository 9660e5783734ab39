// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package token makes and checks k3s' join tokens:
// K10<sha256 of the cluster's CA file, hex>::<user>:<secret>, or the bare secret.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const prefix = "K10"

// Token is a parsed join token. CAHash is empty in the short form.
type Token struct {
	CAHash string
	User   string
	Secret string
}

// Parse reads a token in its full or its short form. The short form belongs
// to the user given.
func Parse(text, user string) (Token, error) {
	text = strings.TrimSpace(text)
	rest, full := strings.CutPrefix(text, prefix)
	if hash, credentials, ok := strings.Cut(rest, "::"); full && ok {
		if _, err := hex.DecodeString(hash); err != nil || len(hash) != 2*sha256.Size {
			return Token{}, fmt.Errorf("the token's CA hash is not a SHA-256 in hex: copy the whole line of the server's node-token file")
		}
		name, secret, ok := strings.Cut(credentials, ":")
		if !ok || name == "" || secret == "" {
			return Token{}, fmt.Errorf("the token has no user and secret after its CA hash: copy the whole line of the server's node-token file")
		}
		return Token{CAHash: hash, User: name, Secret: secret}, nil
	}
	if text == "" {
		return Token{}, fmt.Errorf("the token is empty: take it from the server's node-token file")
	}
	return Token{User: user, Secret: text}, nil
}

// New gives a random secret.
func New() string {
	data := make([]byte, 16)
	if _, err := rand.Read(data); err != nil {
		panic(err)
	}
	return hex.EncodeToString(data)
}

// Hash is the CA hash of a full token for the given CA file.
func Hash(ca []byte) string {
	sum := sha256.Sum256(ca)
	return hex.EncodeToString(sum[:])
}

// Format gives the full form.
func Format(ca []byte, user, secret string) string {
	return prefix + Hash(ca) + "::" + user + ":" + secret
}

// CheckCA refuses a CA file that is not the one the token names.
func (t Token) CheckCA(ca []byte) error {
	if t.CAHash != "" && t.CAHash != Hash(ca) {
		return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", t.CAHash, Hash(ca))
	}
	return nil
}
