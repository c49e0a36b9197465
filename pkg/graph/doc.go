// Package graph is the shape of the Graph API: what a request may look like,
// what an answer and an error look like.
//
// Decoding goes in steps, each usable alone: ParsePath for the path,
// DecodeParams (or DecodeMultipart) for the parameters wherever the client put
// them, Params.Token for the caller, then one Decode function per edge. Errors
// are *Error values that know how the platform prints them.
//
// The rule of the package: pure, standard library only. Ids never pass through
// a float. What real clients send is accepted: JSON, forms, multipart, query
// only, relaxed objects; unknown fields are ignored. Of a parameter given twice
// the last counts, and the body's counts before the query's.
package graph
