//go:build unix

package main

import "syscall"

const signalReload = syscall.SIGHUP
