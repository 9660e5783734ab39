// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// readFiles merges file and file.d/*.yaml: a later file replaces a key, and
// "key+" appends to what is there.
func readFiles(role, file string, explicit bool) (map[string][]string, []string, error) {
	values, warnings := map[string][]string{}, []string{}
	var files []string
	if _, err := os.Stat(file); err == nil {
		files = append(files, file)
	} else if explicit {
		return nil, nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	var drops []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, _ := filepath.Glob(filepath.Join(file+".d", pattern))
		drops = append(drops, found...)
	}
	sort.Strings(drops)
	for _, path := range append(files, drops...) {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, fmt.Errorf("the configuration file cannot be read: %w", err)
		}
		content := map[string]any{}
		if err := yaml.Unmarshal(data, &content); err != nil {
			return nil, nil, fmt.Errorf("%s is not a YAML mapping of settings: %w", path, err)
		}
		for key, value := range content {
			name, add := strings.CutSuffix(key, "+")
			name = strings.ReplaceAll(name, "_", "-")
			o, known := find(name, role)
			if !known {
				warnings = append(warnings, fmt.Sprintf("Unknown flag --%s found in %s, skipping", name, filepath.Base(path)))
				continue
			}
			given, err := strs(value)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %s %w", path, key, err)
			}
			if add && o.list {
				values[name] = append(values[name], given...)
			} else {
				values[name] = given
			}
		}
	}
	sort.Strings(warnings)
	return values, warnings, nil
}

func strs(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return []string{""}, nil
	case []any:
		out := []string{}
		for _, item := range v {
			if _, nested := item.(map[string]any); nested {
				return nil, fmt.Errorf("holds a mapping: give a list of words")
			}
			out = append(out, scalar(item))
		}
		return out, nil
	case map[string]any:
		return nil, fmt.Errorf("is a mapping: give a word or a list of words")
	default:
		return []string{scalar(v)}, nil
	}
}

func scalar(v any) string {
	if f, ok := v.(float64); ok && f == float64(int64(f)) {
		return fmt.Sprint(int64(f))
	}
	return fmt.Sprint(v)
}

// parseFlags reads --name value, --name=value and boolean --name.
func parseFlags(role string, args []string) (map[string][]string, string, error) {
	values, file := map[string][]string{}, ""
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") {
			return nil, "", fmt.Errorf("unexpected argument %q: settings are given as --name=value", args[i])
		}
		switch name {
		case "c":
			name = "config"
		case "t":
			name = "token"
		case "s":
			name = "server"
		case "d":
			name = "data-dir"
		}
		o, known := find(name, role)
		if !known && name != "config" {
			return nil, "", fmt.Errorf("flag provided but not defined: -%s", name)
		}
		if !has && o.boolean {
			value, has = "true", true
		}
		if !has {
			if i++; i >= len(args) {
				return nil, "", fmt.Errorf("flag needs an argument: -%s", name)
			}
			value = args[i]
		}
		if name == "config" {
			file = value
		} else {
			values[name] = append(values[name], value)
		}
	}
	return values, file, nil
}
