// Command lint builds the kustomizations of deploy/kubernetes and reads what comes out as
// Kubernetes would: an unknown field, a wrong type or a kind that is not known is an error. It reads the
// Dockerfile as BuildKit would, too. It is a module of its own: none of this belongs into the
// engine's go.mod.
//
//	go run . ../kubernetes ../docker/Dockerfile
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kinds are the objects that manifests may have. Those of the Prometheus operator are not
// Kubernetes' own, and are read by those who install it.
var kinds = map[string]func() any{
	"ConfigMap":           func() any { return new(corev1.ConfigMap) },
	"Service":             func() any { return new(corev1.Service) },
	"ServiceAccount":      func() any { return new(corev1.ServiceAccount) },
	"StatefulSet":         func() any { return new(appsv1.StatefulSet) },
	"PodDisruptionBudget": func() any { return new(policyv1.PodDisruptionBudget) },
	"ServiceMonitor":      func() any { return new(map[string]any) },
	"PrometheusRule":      func() any { return new(map[string]any) },
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: lint KUBERNETES_FOLDER DOCKERFILE")
		os.Exit(2)
	}
	if err := errors.Join(manifests(os.Args[1]), image(os.Args[2])); err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(1)
	}
}

// manifests builds every kustomization of a folder that stands for itself.
func manifests(folder string) error {
	var errs []error
	for _, name := range []string{"base", "example"} {
		dir := filepath.Join(folder, name)
		n, err := build(dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
			continue
		}
		fmt.Printf("%s: %d objects\n", dir, n)
	}
	return errors.Join(errs...)
}

func build(dir string) (int, error) {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, o := range objects.Resources() {
		text, err := o.AsYAML()
		if err == nil {
			err = strictly(o.GetKind(), text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err))
		}
	}
	return objects.Size(), errors.Join(errs...)
}

func strictly(kind string, text []byte) error {
	into, known := kinds[kind]
	if !known {
		return errors.New("this kind is not known here: add its type to kinds")
	}
	object := into()
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		return err
	}
	if s, ok := object.(*appsv1.StatefulSet); ok {
		return mounts(s)
	}
	return nil
}

// mounts refuses a mount of a volume that is not declared, which only a server notices otherwise.
func mounts(s *appsv1.StatefulSet) error {
	declared := map[string]bool{}
	for _, v := range s.Spec.Template.Spec.Volumes {
		declared[v.Name] = true
	}
	for _, v := range s.Spec.VolumeClaimTemplates {
		declared[v.Name] = true
	}
	for _, c := range s.Spec.Template.Spec.Containers {
		for _, m := range c.VolumeMounts {
			if !declared[m.Name] {
				return fmt.Errorf("container %s mounts %s, and no volume has that name", c.Name, m.Name)
			}
		}
	}
	return nil
}

// image reads a Dockerfile with BuildKit's own checks.
func image(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tree, err := parser.Parse(f)
	if err != nil {
		return err
	}
	var errs []error
	warn := func(rule, _, _, message string, at []parser.Range) {
		errs = append(errs, fmt.Errorf("%s:%d: %s: %s", path, at[0].Start.Line, rule, message))
	}
	stages, _, err := instructions.Parse(tree.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	last := stages[len(stages)-1]
	var user, health bool
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User != "root" && c.User != "0"
		case *instructions.HealthCheckCommand:
			health = true
		}
	}
	if !user || !health {
		errs = append(errs, fmt.Errorf("%s: the image needs a USER other than root, and a HEALTHCHECK", path))
	}
	fmt.Printf("%s: %d stages\n", path, len(stages))
	return errors.Join(errs...)
}
