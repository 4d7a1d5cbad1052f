// Programs with etcd's own Go modules that the tests of the etcd front end run.
//
//	driver rpc <host:port>                 sends requests from standard input, without any client library (rpc.go)
//	driver recipes <host:port>,...         runs clientv3 and its recipes until standard input ends (recipes.go)
//	driver steady <host:port>,...          counts failed requests of clientv3 until standard input ends (steady.go)
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: driver rpc|recipes|steady <endpoints>")
	}
	switch args[0] {
	case "rpc":
		return serveRequests(args[1], os.Stdin, os.Stdout)
	case "recipes":
		return runRecipes(strings.Split(args[1], ","), os.Stdin, os.Stdout)
	case "steady":
		return runSteady(strings.Split(args[1], ","), os.Stdin, os.Stdout)
	default:
		return fmt.Errorf("there is no program %q", args[0])
	}
}
