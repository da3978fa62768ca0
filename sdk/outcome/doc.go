// Package outcome is what a run of a projection made of its events: state, emitted
// events, errors, lines of its log and answers. It has one form as a file, which engine
// test and gnomontest share, and one way to say in what two outcomes differ (only the
// standard library).
//
// The file is one JSON object with an entry on each line. A section that is not there is
// not compared, except errors: one that is not expected is always a difference.
//
//	{
//	 "state":{
//	  "account\t17":{"balance":40}
//	 },
//	 "emits":[
//	  {"event":3,"subject":"alerts.low","headers":[["ce-type","low"]],"data":{"id":17}}
//	 ],
//	 "errors":[
//	  {"event":5,"error":"account 18 is not open"}
//	 ],
//	 "logs":[
//	  "info: account 19 closed"
//	 ],
//	 "queries":[
//	  {"request":{"top":3},"answer":[{"account":"17"}]},
//	  {"request":{"top":0},"error":"top must be from 1 to 100"}
//	 ]
//	}
//
// The outcome of an upcaster has "records", in the form of emits, in place of state and
// emits: what it made, in order.
//
// State, records and answers are bytes, and what the file says of them is exact to the byte.
// A value (data, request, answer, and those of state) is written
//
//   - as it is, when it is JSON without blanks, and no string;
//   - as a JSON string, when it is any other UTF-8 text;
//   - as {"$base64":"…"}, when it is something else. A value that is itself of that form is
//     written as a string.
//
// Keys, and all other texts, are JSON strings; what is no UTF-8, or begins with "base64:", is
// written as "base64:…". Blanks between the parts of a value mean nothing, so that tools may
// format the file. How numbers and strings are written does mean something: 1.0 is not 1.
package outcome
