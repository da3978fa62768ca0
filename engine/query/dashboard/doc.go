// Package dashboard is the pages for people, at / and below /ui/ (html/template, htmx,
// uPlot).
//
// A page shows what anybody can ask for over HTTP, and asks for it in the same way: it
// sends requests to the API in the same process, with the rights of who looks at it. So
// there is nothing on a page that curl cannot have, bounds and permissions are those of
// the API, and each view names the request, and the command, that it comes from.
//
// A page works without scripts. With them, htmx replaces parts of it as they change, and
// uPlot draws. All that a page loads is in this package: assets/vendor is what package.json
// names, copied by `make assets`.
//
// Nothing that a module, an event or a stream says is ever HTML: html/template writes all of
// it as text, and the content security policy lets no script run but ours.
package dashboard
