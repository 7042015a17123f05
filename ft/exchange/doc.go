// Package exchange is the protocol that two Carillons speak over one byte
// stream to move files and folders: checked block by block as they arrive, and
// resumed from whatever is already there.
//
//	Sender                                   Receiver
//	   |--- hello ------------------------------>|
//	   |<------------------------------ hello ---|
//	   |--- manifest (names, sizes, times) ----->|   looks for NAME.part
//	   |<--- have (hashes of blocks in .part) ---|   zero or more
//	   |<----------------------------- start ----|
//	   |--- keep (those blocks are right) ------>|
//	   |--- block, pack (data with its hash) --->|   verifies, writes
//	   |<------------------------ ack, resend ---|
//	   |--- root (hash of a whole file) -------->|   verifies
//	   |--- end -------------------------------->|   renames NAME.part to NAME
//	   |<------------------------------ done ----|
//
// Begin with [Scan] and [Send] on one side and [Receive] on the other. Neither
// trusts anything left behind by an earlier attempt: what is in a .part file is
// hashed and compared with the sender's file, so a journal that lies, a .part of
// another file or a changed source cost time and never correctness.
//
// The package knows nothing of XMPP and networks. The stream must be reliable,
// ordered and already secured.
package exchange
