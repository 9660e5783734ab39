// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

// Package pki keeps certificates in files: authorities, and leaves that are
// made anew only when they no longer fit.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	year   = 365 * 24 * time.Hour
	margin = 30 * 24 * time.Hour // a leaf with less left is renewed at the next start
)

// CA is a certificate authority in memory.
type CA struct {
	Cert *x509.Certificate
	PEM  []byte
	key  crypto.Signer
}

// Leaf describes a certificate to be signed.
type Leaf struct {
	CN     string
	Groups []string
	SANs   []string // names and addresses; none for a client certificate
	Usage  []x509.ExtKeyUsage
}

// Client describes a client certificate.
func Client(cn string, groups ...string) Leaf {
	return Leaf{CN: cn, Groups: groups, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// Serving describes a server certificate, usable as a client's too where both is so.
func Serving(cn string, both bool, sans ...string) Leaf {
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if both {
		usage = append(usage, x509.ExtKeyUsageClientAuth)
	}
	return Leaf{CN: cn, SANs: sans, Usage: usage}
}

// EnsureCA loads base.crt and base.key, or makes them.
func EnsureCA(base, cn string) (*CA, error) {
	if _, err := os.Stat(base + ".key"); os.IsNotExist(err) {
		key, err := EnsureKey(base + ".key")
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprintf("%s@%d", cn, time.Now().Unix())},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * year), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		if err := WriteFile(base+".crt", encode("CERTIFICATE", der), 0o644); err != nil {
			return nil, err
		}
	}
	key, err := EnsureKey(base + ".key")
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	cert, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", base, err)
	}
	return &CA{Cert: cert, PEM: data, key: key}, nil
}

// Sign signs a leaf for a public key.
func (ca *CA) Sign(leaf Leaf, public crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: leaf.CN, Organization: leaf.Groups},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(year),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: leaf.Usage,
	}
	for _, san := range leaf.SANs {
		if ip := net.ParseIP(san); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, public, ca.key)
	if err != nil {
		return nil, err
	}
	// The authority goes along, so that a client that only has a hash of it can be served.
	return append(encode("CERTIFICATE", der), ca.PEM...), nil
}

// EnsureLeaf makes base.crt and base.key where they are missing, about to
// expire, of another authority, or without a wanted name.
func (ca *CA) EnsureLeaf(base string, leaf Leaf) error {
	if data, err := os.ReadFile(base + ".crt"); err == nil && ca.fits(data, leaf) {
		return nil
	}
	key, err := EnsureKey(base + ".key")
	if err != nil {
		return err
	}
	cert, err := ca.Sign(leaf, key.Public())
	if err != nil {
		return err
	}
	return WriteFile(base+".crt", cert, 0o644)
}

func (ca *CA) fits(data []byte, leaf Leaf) bool {
	cert, err := parse(data)
	if err != nil || cert.CheckSignatureFrom(ca.Cert) != nil || time.Until(cert.NotAfter) < margin {
		return false
	}
	if cert.Subject.CommonName != leaf.CN || !slices.Equal(cert.Subject.Organization, leaf.Groups) {
		return false
	}
	for _, san := range leaf.SANs {
		if cert.VerifyHostname(san) != nil {
			return false
		}
	}
	return true
}

// EnsureKey loads an EC private key, or makes one.
func EnsureKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, WriteFile(path, encode("EC PRIVATE KEY", der), 0o600)
	} else if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM key: remove it and start again", path)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// Request makes a signing request for the key in path; the signer decides on
// names, so it carries none.
func Request(path string) ([]byte, error) {
	key, err := EnsureKey(path)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return encode("CERTIFICATE REQUEST", der), err
}

// PublicKey checks a signing request and gives its public key.
func PublicKey(request []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(request)
	if block == nil {
		return nil, fmt.Errorf("the signing request is not PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return csr.PublicKey, csr.CheckSignature()
}

// WriteFile writes under a temporary name and renames, and leaves a file that
// already has this content alone.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return os.Chmod(path, mode)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, data, mode); err != nil {
		return err
	}
	if err := os.Chmod(temporary, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func parse(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("no PEM certificate in it")
	}
	return x509.ParseCertificate(block.Bytes)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
