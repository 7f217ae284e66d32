// Package journal is the durable record of what popferry intended, delivered,
// verified and deleted. It is what makes a second run copy nothing.
//
// # Use
//
// A run calls [Open], which takes the lock of the state directory, sets a
// damaged journal aside and brings the schema up to date. For each account it
// asks for a [Ledger], the messages of one source on their way to one
// destination, and for each destination folder for an [Index], the cached list
// of what is in that folder. A program that only looks, such as status, calls
// [OpenReader] instead, at any time, also while a run writes.
//
// # Promises
//
// A call that writes is one transaction. When it returns nil, all of it is on
// the disk, synced, and survives a power loss. When it returns an error, none
// of it is visible afterwards, with one exception: after an error of the disk
// itself (code [fault.State]) only the next Open can tell whether the last call
// is there, and it is there whole or not at all. Such an error also ends the
// journal's life as a writer: a disk that failed once proves nothing about what
// it says next, so every later write is refused with the first error.
//
// Who keeps a journal open for years calls [Journal.Renew] before each pass: it
// does what the next Open would, under the lock that it has. Ledgers and indexes
// that were handed out before stay refused, now for reading too, as their holders
// may believe what the disk did not keep; passes that are under way end, and those
// to come ask for new ones.
//
// A file that was removed still takes what is written to it, and no Open finds it.
// So a write is refused, and changes nothing, unless lock and database are where
// they were.
//
// A cancelled context stops a call before it writes; what has begun to be
// written is finished. Long reads look at the context between pages.
//
// All methods may be called by several goroutines. No page of rows is held
// while a callback runs, so callbacks may call the journal.
//
// Times are kept in milliseconds and come back in UTC; the zero time stays
// zero. Texts come back byte for byte, whatever is in them.
//
// # On disk
//
// The state directory has mode 0700 and its files have mode 0600:
//
//	journal.db           SQLite, in WAL mode with synchronous=FULL
//	journal.db-wal, -shm its write-ahead log while somebody has it open
//	journal.db-journal   while the database is made, before there is such a log
//	journal.lock         held by the writer, with its pid and start; empty
//	                     after a clean end
//	journal.db.corrupt-* journals that were found damaged, kept for a person
//
// A message costs about 300 octets, indexes included: 295 where its UIDL has 16
// octets and its Message-ID 45, 50 more where there is no UIDL and its key is a
// digest, and 100 more for its entry in the index of its folder. All is found by
// index, so the size of a journal does not matter; memory is bounded by a page
// cache of 8 MB.
package journal
