// The navigation: every page of the site, in its order.
const p = (file, title) => ({ file, title });

export default [
  { title: "Gnomon", pages: [p("README.md", "Overview"), p("docs/COMPARISON.md", "Compared with others"), p("CHANGELOG.md", "Changes")] },
  {
    title: "Run it",
    pages: [
      p("docs/operations/installing.md", "Installing, upgrading"),
      p("docs/operations/sizing.md", "Sizing"),
      p("docs/operations/backup.md", "Backup and restore"),
      p("docs/OPERATIONS.md", "Operations"),
      p("docs/METRICS.md", "Metrics"),
      p("docs/RELIABILITY.md", "Reliability"),
      p("docs/PERFORMANCE.md", "Performance"),
    ],
  },
  {
    title: "Write projections",
    pages: [
      p("docs/AUTHORING.md", "Authoring"),
      p("docs/authoring/go.md", "Go"),
      p("docs/authoring/tinygo.md", "TinyGo"),
      p("docs/authoring/rust.md", "Rust"),
      p("docs/authoring/c.md", "C and C++"),
      p("docs/authoring/assemblyscript.md", "AssemblyScript"),
      p("docs/authoring/javascript.md", "JavaScript"),
      p("docs/authoring/kurrentdb.md", "From KurrentDB"),
      p("docs/authoring/wat.md", "WAT"),
      p("docs/authoring/bare.md", "Zig, D, Nim"),
      p("docs/authoring/patterns.md", "Patterns"),
      p("docs/authoring/testing.md", "Testing"),
      p("docs/authoring/determinism.md", "Determinism"),
      p("docs/authoring/evolution.md", "Evolution"),
      p("docs/authoring/speed.md", "Speed"),
      p("docs/ABI.md", "Guest contract"),
    ],
  },
  { title: "Understand it", pages: [p("docs/ARCHITECTURE.md", "Architecture"), p("docs/RATIONALE.md", "Why it is so"), p("CONTRIBUTING.md", "Contributing")] },
];
