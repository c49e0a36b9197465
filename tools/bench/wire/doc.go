// Package wire speaks as much HTTP/1.1 as a benchmark needs, on bare sockets:
// requests and answers with a Content-Length, over connections that stay open.
// So the load and the sinks take as little of the machine as can be, whoever is
// measured, and the floor below net/http is known.
package wire
