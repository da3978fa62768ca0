// Package js makes projections of JavaScript. The script is attached to QuickJS, which is
// compiled to a guest of projection_v1 (runtime): what comes out is a module like any
// other, self-contained, metered, and hot-loaded as others are.
//
// gnomon.js is the interface that scripts see; docs/authoring/javascript.md describes it.
// quickjs.wasm is built by runtime/build.sh from QuickJS's source, which is under the
// licence in LICENSE.quickjs.
package js
