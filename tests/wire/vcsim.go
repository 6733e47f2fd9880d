// A vCenter simulator on govmomi's library: serves with the certificate and key
// of the PEM file in its first argument, with as many VMs in each pool as the
// second says, prints its address, runs until SIGINT.

package main

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
)

func main() {
	machines, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	m := simulator.VPX()
	m.Machine = machines
	m.ServiceContent.About.ApiVersion = "7.0.3.0"
	m.ServiceContent.About.InstanceUuid = uuid.New().String() // the library's is the same in all
	if err := m.Create(); err != nil {
		panic(err)
	}
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[1])
	if err != nil {
		panic(err)
	}
	m.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	m.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword("user", "pass")}
	s := m.Service.NewServer()
	fmt.Println(s.URL.Host)
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	<-c
}
