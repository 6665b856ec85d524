package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// replace replaces the content of the file at path. A reader finds either the old content or the new one, even after a
// crash: the new content is on the disk before it gets the name, and the name is on the disk before replace returns.
func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, tempPrefix) // the file has mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDirectory(dir)
}

// syncDirectory makes changes of names in dir durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("making the change of %s last: %w", dir, err)
	}
	return nil
}
