package resource

import (
	"cmp"
	"crypto/sha256"
	"path/filepath"
	"slices"
	"time"
)

const (
	// settle is how long a file must stay the same before a change of it counts.
	settle = 200 * time.Millisecond
	// impatience is how long a file that changes all the time is waited for.
	impatience = 2 * time.Second
	// gone is how long a document must be missing before it is let go of.
	gone = 2 * time.Second
)

// A tracker holds what the files declared when they last made sense, and
// compares it with what they say now. It knows no clock but the times it is
// given.
type tracker struct {
	globs   []string
	check   Context
	started bool
	files   map[string]*trackedFile
	running map[string]Document
	missing map[string]time.Time // since when, by key of running
	set     Set                  // as it was last returned
}

// A trackedFile is the content of a file that counts, and one that may.
type trackedFile struct {
	accepted    bool // file is what counts
	file        file
	digest      [sha256.Size]byte
	pending     [sha256.Size]byte
	since       time.Time // since when it has been the pending one
	changeSince time.Time // since when it has not been the accepted one
}

func newTracker(globs []string, check Context) *tracker {
	return &tracker{
		globs: globs, check: check,
		files: map[string]*trackedFile{}, running: map[string]Document{}, missing: map[string]time.Time{},
	}
}

// observe reads the files. It returns the set as of now, whether it is another
// than before, and when to look again, 0 for whenever.
func (t *tracker) observe(now time.Time) (set Set, changed bool, again time.Duration) {
	wait := func(d time.Duration) {
		if again == 0 || d < again {
			again = max(d, time.Millisecond)
		}
	}
	paths, problems := expand(t.globs)
	present := map[string]bool{}
	var files []file
	for _, path := range paths {
		present[path] = true
		f := t.files[path]
		if f == nil {
			f = &trackedFile{}
			t.files[path] = f
		}
		if d := f.read(path, t.check, now, !t.started); d > 0 {
			wait(d)
		}
		if f.accepted {
			files = append(files, f.file)
		}
	}
	for path := range t.files {
		if !present[path] {
			delete(t.files, path)
		}
	}
	t.started = true

	set, byKey := gather(files, problems)
	for key, d := range t.running {
		if _, there := byKey[key]; there {
			delete(t.missing, key)
			continue
		}
		if t.mayBeMeant(key, d, files) {
			delete(t.missing, key)
		} else {
			since, known := t.missing[key]
			if !known {
				since = now
				t.missing[key] = now
			}
			if now.Sub(since) >= gone {
				delete(t.missing, key)
				continue
			}
			wait(gone - now.Sub(since))
		}
		byKey[key] = d
		set.Documents = append(set.Documents, d)
	}
	slices.SortFunc(set.Documents, func(a, b Document) int { return cmp.Compare(a.Key(), b.Key()) })
	changed = !sameSet(t.set, set)
	t.running, t.set = byKey, set
	return set, changed, again
}

// mayBeMeant says whether a document that no file declares validly any more is
// still declared in a way that cannot be read.
func (t *tracker) mayBeMeant(key string, d Document, files []file) bool {
	return slices.ContainsFunc(files, func(f file) bool {
		return f.unknown && f.path == d.File || slices.Contains(f.invalid, key)
	})
}

// read reads a file and accepts its content when it is the first, or has been
// the same for a while. It returns when to look again, 0 for whenever.
func (f *trackedFile) read(path string, check Context, now time.Time, first bool) time.Duration {
	text, err := readBounded(path)
	digest := sha256.Sum256(text)
	if err != nil {
		digest = sha256.Sum256([]byte("error: " + reason(err)))
	}
	if f.accepted && digest == f.digest {
		f.pending, f.since, f.changeSince = digest, time.Time{}, time.Time{}
		return 0
	}
	if f.since.IsZero() {
		f.changeSince = now
	}
	if f.since.IsZero() || digest != f.pending {
		f.pending, f.since = digest, now
	}
	if still := now.Sub(f.since); !first && still < settle && now.Sub(f.changeSince) < impatience {
		return settle - still
	}
	f.accepted, f.digest = true, digest
	f.since, f.changeSince = time.Time{}, time.Time{}
	if err != nil {
		f.file = unreadable(path, err)
	} else {
		f.file = parseFile(path, text, check)
	}
	return 0
}

// directories returns those in which a change may matter.
func (t *tracker) directories() []string {
	var directories []string
	for _, glob := range t.globs {
		directory := filepath.Dir(filepath.Clean(glob))
		matches := []string{directory}
		if isPattern(directory) {
			matches, _ = filepath.Glob(directory)
		}
		for _, m := range matches {
			if isDir(m) && !slices.Contains(directories, m) {
				directories = append(directories, m)
			}
		}
	}
	return directories
}

func sameSet(a, b Set) bool {
	return slices.EqualFunc(a.Documents, b.Documents, func(a, b Document) bool {
		return a.fingerprint == b.fingerprint && a.File == b.File && a.Number == b.Number && a.Line == b.Line
	}) && slices.Equal(a.Problems, b.Problems)
}
