package deploytest

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// documented matches a block with a Kubernetes document or a kustomization on a page of the documentation.
var documented = regexp.MustCompile("(?ms)^( *)```yaml (kubernetes|kustomization)\n(.*?)^ *```$")

// fileName matches the first line of a block that stands for a file, which a kustomization on the same page uses.
var fileName = regexp.MustCompile(`^# (\S+\.yaml)\n`)

// TestDocsManifests validates the Kubernetes documents in the documentation. It builds the kustomizations there in a
// directory beside base and shop, with the files on the same page.
func TestDocsManifests(t *testing.T) {
	v, found := newValidator(t), 0
	for page, text := range pages(t) {
		beside := map[string]string{}
		for _, m := range documented.FindAllStringSubmatch(text, -1) {
			block := unindent(m[3], m[1])
			if m[2] == "kubernetes" {
				found++
				if name := fileName.FindStringSubmatch(block); name != nil {
					beside[name[1]] = block
				}
				if err := validate(v, block); err != nil {
					t.Errorf("%s: %v\n%s", page, err, block)
				}
			}
		}
		for _, m := range documented.FindAllStringSubmatch(text, -1) {
			if m[2] == "kustomization" {
				found++
				buildBeside(t, page, unindent(m[3], m[1]), beside)
			}
		}
	}
	if found < 4 {
		t.Errorf("%d blocks found, want at least 4", found)
	}
}

// buildBeside builds a kustomization in a directory beside base and shop, and validates the resulting documents. These
// must differ from the documents without it.
func buildBeside(t *testing.T, page, kustomization string, beside map[string]string) {
	t.Helper()
	files := maps.Clone(beside)
	if files == nil {
		files = map[string]string{}
	}
	files["kustomization.yaml"] = kustomization
	was := strings.Join(built(t), "")
	if !slices.ContainsFunc(buildOverlay(t, page, files), func(document string) bool { return !strings.Contains(was, document) }) {
		t.Errorf("%s: this changes nothing:\n%s", page, kustomization)
	}
}

// buildOverlay builds the kustomization that the files of a directory beside base and shop have, and validates the resulting documents.
func buildOverlay(t *testing.T, name string, files map[string]string) (documents []string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(manifests)); err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay")
	if err := os.Mkdir(overlay, 0o755); err != nil {
		t.Fatal(err)
	}
	writeAll(t, overlay, files)
	documents = build(t, overlay)
	v := newValidator(t)
	for _, document := range documents {
		if err := validate(v, document); err != nil {
			t.Errorf("%s: %v\n%s", name, err, document)
		}
	}
	return documents
}

// pages returns the text of all Markdown files in the repository, by name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && name != "../.." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(name) == ".md" {
			all[name] = readFile(t, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unindent(text, by string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, by), "\n"+by, "\n")
}

// inPod matches a command that the README runs in the pod of the control plane.
var inPod = regexp.MustCompile(`(?m)^kubectl -n breakwater exec deploy/breakwater -- /breakwater (.*)$`)

// TestReadmeCommands runs the README's commands for the pod with the binary and the pod's environment, against a control
// plane with the pod's arguments.
func TestReadmeCommands(t *testing.T) {
	o, certs := loadObjects(t), certificates(t)
	s, c := serve(t, o, certs), controlPlane(t, o)
	admin := mountPath(t, c, "admin")
	here := strings.NewReplacer("127.0.0.1:18080", s.http, mountPath(t, c, "tls"), filepath.Join(certs, "control-plane"))
	for _, e := range c.Env {
		t.Setenv(e.Name, here.Replace(e.Value))
	}
	commands := inPod.FindAllStringSubmatch(readFile(t, filepath.Join(manifests, "README.md")), -1)
	if len(commands) < 3 {
		t.Fatalf("the README has %d commands for the pod; want list, force and reset", len(commands))
	}
	for _, m := range commands {
		var args []string
		for _, word := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(m[1], -1) {
			args = append(args, strings.Replace(strings.Trim(word, "'"), admin, adminToken(t), 1))
		}
		out, err := breakwater(t, args...)
		if err != nil || !strings.Contains(out, "redis") {
			t.Errorf("%s: %v\n%s", m[1], err, out)
		}
	}
}

// TestSecretsAreMade checks that the README creates every Secret that a pod needs, in the pod's namespace.
func TestSecretsAreMade(t *testing.T) {
	readme := readFile(t, filepath.Join(manifests, "README.md"))
	for name, d := range loadObjects(t).workloads() {
		for _, v := range d.pod.Spec.Volumes {
			if v.Secret != nil && !strings.Contains(readme, "kubectl -n "+d.Namespace+" create secret generic "+v.Secret.SecretName+" ") {
				t.Errorf("%s: the README does not create the Secret %s", name, v.Secret.SecretName)
			}
		}
	}
}

// pinned matches an image with a version or a digest. Our own images have the tag dev until a kustomization sets another
// one.
var pinned = regexp.MustCompile(`^\S+(:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?|:dev|@sha256:[0-9a-f]{64})$`)

// TestImagesArePinned checks that no image has a tag that moves, such as latest.
func TestImagesArePinned(t *testing.T) {
	images := map[string][]string{}
	for name, d := range loadObjects(t).deployments {
		pod := d.Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			images[c.Image] = append(images[c.Image], name)
			if strings.HasSuffix(c.Image, ":dev") && c.ImagePullPolicy == corev1.PullAlways {
				t.Errorf("%s: an image with the tag dev, which no registry has, is always pulled", name)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(readFile(t, "../../Dockerfile"), -1) {
		if !strings.HasSuffix(m[1], "-debian12:nonroot") { // distroless images have no versions; only a digest could pin them
			images[m[1]] = append(images[m[1]], "Dockerfile")
		}
	}
	for image, users := range images {
		if !pinned.MatchString(image) {
			t.Errorf("the image %s of %v may be another one tomorrow; give it a version or a digest", image, users)
		}
	}
}
