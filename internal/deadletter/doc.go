// Package deadletter is the desk at which somebody decides about dead letters:
// list them, look into one, put it back where it failed, or drop it.
//
// What arrives are the messages of the stream K2O_DEAD, each a message that could
// never succeed, as it was, with the reason beside it. What leaves is either the
// same message on the subject where it failed, or a job that has its window queried with
// another spec, or an event that says who gave it up and why; and then the letter is
// removed.
//
// A crash between two steps leaves the letter, to be decided about again. A message
// put back carries an id made of its letter, so that within the stream's duplicates
// window a second time is the first, also where two people put it back at once; beyond
// it, the message is handled twice, which gives the same points. It is never lost.
//
// A letter is put back first and reported then. In between, the ledger still calls its
// window failed; where no stream takes the message, it is right. The report says
// which failure it is about, so that it says nothing about a later one, however late
// it comes and however often.
package deadletter
