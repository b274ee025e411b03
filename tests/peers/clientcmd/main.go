// Prints what client-go makes of kubeconfigs: a line of paths in, a line of JSON out. record.py runs it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func one(paths string) (out map[string]any) {
	out = map[string]any{}
	defer func() {
		if r := recover(); r != nil {
			out["panic"] = fmt.Sprint(r)
		}
	}()
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: strings.Split(paths, ":")}
	raw, err := rules.Load()
	if err != nil {
		out["load"] = err.Error()
	} else {
		out["current"] = raw.CurrentContext
	}
	cc := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	c, err := cc.ClientConfig()
	if err != nil {
		out["error"] = err.Error()
		return
	}
	ns, _, err := cc.Namespace()
	if err != nil {
		out["nserror"] = err.Error()
	}
	u, _, err := rest.DefaultServerUrlFor(c)
	if err != nil {
		out["error"] = "server: " + err.Error()
		return
	}
	if _, err := rest.TLSConfigFor(c); err != nil {
		out["error"] = "tls: " + err.Error()
		return
	}
	if _, err := rest.TransportFor(c); err != nil {
		out["error"] = "transport: " + err.Error()
		return
	}
	out["server"] = u.String()
	out["namespace"] = ns
	out["token"] = c.BearerToken
	out["tokenFile"] = c.BearerTokenFile
	out["username"] = c.Username
	out["password"] = c.Password
	out["insecure"] = c.Insecure
	out["serverName"] = c.TLSClientConfig.ServerName
	out["caData"] = string(c.CAData)
	out["caFile"] = c.CAFile
	out["certData"] = string(c.CertData)
	out["certFile"] = c.CertFile
	out["keyData"] = string(c.KeyData)
	out["keyFile"] = c.KeyFile
	out["as"] = c.Impersonate.UserName
	out["asUid"] = c.Impersonate.UID
	out["asGroups"] = c.Impersonate.Groups
	out["asExtra"] = c.Impersonate.Extra
	out["disableCompression"] = c.DisableCompression
	if c.ExecProvider != nil {
		out["exec"] = map[string]any{"command": c.ExecProvider.Command, "args": c.ExecProvider.Args, "env": c.ExecProvider.Env}
	}
	if c.AuthProvider != nil {
		out["authProvider"] = c.AuthProvider.Name
	}
	return
}

func main() {
	s := bufio.NewScanner(os.Stdin)
	e := json.NewEncoder(os.Stdout)
	for s.Scan() {
		e.Encode(one(s.Text()))
	}
}
