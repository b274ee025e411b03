// Command schemas prints, as JSON, the Go types behind the API of the Kubernetes release that go.mod pins:
// the JSON name, the protobuf number, the type and the patch tags of each field, and the type of each kind.
//
// The text of a type is: string, bool, int32, int64, uint32, uint64, float64, bytes (base64 in JSON), any;
// []T, map[K]T, *T; @package.Name for a struct; Name=T for a named type, Name~T for one that protobuf has as a message.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/controlplane"
)

type field struct {
	JSON    string `json:"json"`
	Options string `json:"options,omitempty"`
	Number  string `json:"number,omitempty"`
	Wire    string `json:"wire,omitempty"`
	Type    string `json:"type"`
	Inline  bool   `json:"inline,omitempty"`
	Patch   string `json:"patch,omitempty"`
	Merge   string `json:"merge,omitempty"`
}

type goType struct {
	Fields []field `json:"fields,omitempty"`
	// The whole type is written as something else: it has a MarshalJSON of its own.
	Custom bool `json:"custom,omitempty"`
	// The underlying type, where it is no struct.
	Is string `json:"is,omitempty"`
}

var (
	types     = map[string]goType{}
	marshaler = reflect.TypeOf((*json.Marshaler)(nil)).Elem()
	message   = reflect.TypeOf((*interface{ Marshal() ([]byte, error) })(nil)).Elem()
)

func key(t reflect.Type) string {
	path := t.PkgPath()
	for _, prefix := range []string{"k8s.io/api/", "k8s.io/apimachinery/pkg/", "k8s.io/apiextensions-apiserver/pkg/apis/", "k8s.io/kube-aggregator/pkg/apis/"} {
		path = strings.TrimPrefix(path, prefix)
	}
	return path + "." + t.Name()
}

func text(t reflect.Type) string {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && t.Name() == "" {
		return "bytes"
	}
	switch t.Kind() {
	case reflect.Ptr:
		return "*" + text(t.Elem())
	case reflect.Struct:
		visit(t)
		return "@" + key(t)
	}
	if t.PkgPath() != "" {
		if t.Kind() == reflect.Slice && reflect.PointerTo(t).Implements(message) {
			return t.String() + "~" + shape(t)
		}
		return t.String() + "=" + shape(t)
	}
	return shape(t)
}

func shape(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + text(t.Elem())
	case reflect.Map:
		return "map[" + text(t.Key()) + "]" + text(t.Elem())
	case reflect.Interface:
		return "any"
	default:
		return t.Kind().String()
	}
}

func visit(t reflect.Type) {
	name := key(t)
	if _, known := types[name]; known {
		return
	}
	types[name] = goType{}
	found := goType{Custom: t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler)}
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		if !f.IsExported() || tag == "-" {
			if f.Tag.Get("protobuf") == "" {
				continue
			}
		}
		parts := strings.Split(tag, ",")
		one := field{JSON: parts[0], Options: strings.Join(parts[1:], ","), Type: text(f.Type), Patch: f.Tag.Get("patchStrategy"), Merge: f.Tag.Get("patchMergeKey")}
		one.Inline = f.Anonymous && parts[0] == "" || strings.Contains(tag, ",inline")
		if !tagged && !one.Inline {
			one.JSON = f.Name
		}
		if wire := strings.Split(f.Tag.Get("protobuf"), ","); len(wire) > 1 {
			one.Wire, one.Number = wire[0], wire[1]
		}
		found.Fields = append(found.Fields, one)
	}
	types[name] = found
}

func main() {
	scheme := legacyscheme.Scheme
	apiextensions.Install(scheme)
	apiregistration.Install(scheme)
	kinds := map[string]string{}
	for gvk, t := range scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal {
			continue
		}
		apiVersion, kind := gvk.ToAPIVersionAndKind()
		visit(t)
		kinds[apiVersion+" "+kind] = key(t)
	}
	for _, meta := range []any{metav1.Table{}, metav1.PartialObjectMetadata{}, metav1.PartialObjectMetadataList{}} {
		t := reflect.TypeOf(meta)
		visit(t)
		kinds["meta.k8s.io/v1 "+t.Name()] = key(t)
	}
	encoder := json.NewEncoder(os.Stdout)
	if err := encoder.Encode(map[string]any{"kinds": kinds, "types": types}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "%d kinds, %d types\n", len(names), len(types))
}
