// Package streamindex brings the index of a stream of the NATS server up to
// what the stream's files hold. The server keeps in index.db how many messages
// of which subject are in which block. It believes that file only when nothing
// was written after it, which holds after an orderly stop; else it reads the
// whole stream anew, several times. Of a log that is kept for ever that takes
// longer with every event. Here only what was written after the index is read.
//
// The index that comes out is the one that the server would have written at that
// point, since what it does to its books is repeated record by record. Whatever
// is not as expected leaves the file as it is, and the server reads the stream
// anew: that is slower, and never wrong.
package streamindex
