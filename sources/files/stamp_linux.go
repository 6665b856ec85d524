package files

import (
	"io/fs"
	"syscall"
)

// stamp differs where a file is another one, or was changed, as far as the file system's clock can tell. The time of the
// last change of the inode cannot be set back, unlike the time of the last change of the content, which tools such as
// rsync set.
type stamp struct {
	device, inode     uint64
	size              int64
	content, anything int64 // when these were last changed, in ns since 1970
}

// stampOf returns the stamp of a file; the zero stamp says nothing.
func stampOf(info fs.FileInfo) stamp {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{uint64(s.Dev), s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}
}
