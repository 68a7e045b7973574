// Package eventlogtest gives tests a real log: a nats-server with JetStream on
// file storage inside the test's own process, which can be stopped and started
// again on the same directory, and scripted records to put into it.
//
// It imports the testing package and must not reach a binary.
//
//	js := eventlogtest.Connect(t)                      // a server and a context, in one line
//	node := eventlogtest.Server(t)                     // or the server, to restart it
//	node := eventlogtest.Server(t, eventlogtest.Options{SyncAlways: true})
//	node.Restart(t)                                    // same directory, same port
//
// Connections made through Connect go over an in-process pipe and find the
// server again after Restart; URL is for clients that need a port.
//
// Patience is the limit of a wait, and Steadily does again what a limit of the
// program ended on a machine that stood still: no test fails by luck.
package eventlogtest
