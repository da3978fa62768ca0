// Package browser is the suite that uses the dashboard as a person does: in Debian's Chromium
// without a window (chromedp), on an engine in a process of its own, with real events.
//
// What is on a page is found as assistive technology finds it, by role and name, and not by
// its place in the markup: so what cannot be found by those who do not see the page fails
// here, and what only looks otherwise does not. Whatever page is looked at, there must be no
// error in the console, nothing that the content security policy kept from happening, and no
// request to another host.
//
// The same rig makes the pictures of the documentation: `make screenshots`.
package browser
