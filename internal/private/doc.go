// Package private has what files need that only we may read, and that several
// processes may want at once: they are opened but not through links, locked, and
// given names that survive a power loss.
package private
