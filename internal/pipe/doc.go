// Package pipe is what the stages share of JetStream: the connection, the
// embedded server, the streams, one consume loop, and dead letters.
//
// A stage's life is Consume: one message is fetched, handled while its lease is
// renewed, and acked after everything that follows from it is stored downstream.
// A process that ends anywhere in between leaves the message to be delivered
// again, after its lease of 15 s or at once where it could still say so. What a
// handler publishes must therefore be the same for the same message, and is: ids
// let the streams take the second for the first.
//
// A handler's error is sorted by KindOf. Retries wait in the stream, however many
// there are. What can never succeed is kept as a dead letter, with its reason; a
// panic is kept like that too, so that one poisonous message does not end the
// process again and again.
package pipe
