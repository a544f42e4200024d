//go:build linux

package main

import (
	"errors"
	"flag"
)

func fanOutNet(string) (string, error)                { return "", errors.ErrUnsupported }
func fanOutTandem(string) (string, error)             { return "", errors.ErrUnsupported }
func measureFanOut(f *flag.FlagSet, _ []string) error { return errors.ErrUnsupported }
