// The glue between Go and Microsoft's KQL parser: three functions that take and give JSON text.
// Everything else (caching, deadlines, positions as line and column) is Go's business.
"use strict";
var kusto2otlp = (function () {
  // Completion's grammar takes longer to build than everything else together, and completes nothing here.
  if (typeof Kusto.Language.Parsing.QueryGrammar.From !== "function") throw new Error("this version has no QueryGrammar.From");
  Kusto.Language.Parsing.QueryGrammar.From = function () { return { QueryBlock: null }; };

  var L = Kusto.Language, S = L.Symbols, X = L.Syntax;

  // Every state with another database or cluster would index the built-in functions and operators anew, which
  // is a fifth of an analysis.
  var builtIn = [L.GlobalState.Default.Functions, L.GlobalState.Default.Aggregates, L.GlobalState.Default.Operators];
  var indexes = [], index = L.Utils.ListExtensions.ToDictionaryLast;
  L.Utils.ListExtensions.ToDictionaryLast = function (key, value, items, selector) {
    var i = builtIn.indexOf(items);
    if (i < 0) return index.call(this, key, value, items, selector);
    return indexes[i] || (indexes[i] = index.call(this, key, value, items, selector));
  };

  // Enumerations are numbers at run time; their names are the contract with Go.
  function names(e) {
    var r = {};
    for (var k in e) if (typeof e[k] === "number") r[e[k]] = k;
    return r;
  }
  var syntaxKinds = names(X.SyntaxKind), symbolKinds = names(S.SymbolKind);

  function each(list, f) {
    if (list == null) return;
    var n = System.Array.getCount(list);
    for (var i = 0; i < n; i++) f(System.Array.getItem(list, i), i);
  }
  function array(list) {
    var r = [];
    each(list, function (v) { r.push(v); });
    return r;
  }

  // The schema: {cluster, clusters: [{name, open, databases: [{name, tables: [{name, columns: [{name, type}]}],
  // externalTables and materializedViews: as tables, functions: [{name, parameters, body}]}]}]}.
  var globals = options(L.GlobalState.Default), schemaVersion = null, states = {};

  // options are those that Parse and ParseAndAnalyze ask for; without them each call would make a state of its own.
  function options(g) { return g.WithParseOptions(g.ParseOptions.WithAlwaysProduceEndTokens(true)); }

  // stateOf is the state of a database, null when there is none. It keeps what every analysis would have to
  // find out anew, such as what stored functions return.
  function stateOf(database) {
    var db = globals.Cluster.GetDatabase(database);
    if (db == null) return null;
    return states[db.Name] || (states[db.Name] = globals.WithDatabase(db).WithCache());
  }

  function setSchema(json) {
    var s = JSON.parse(json), g = options(L.GlobalState.Default), home = null;
    var clusters = s.clusters.map(function (c) {
      var cluster = new S.ClusterSymbol.$ctor1(c.name, c.databases.map(function (d) {
        function columns(t) {
          return t.columns.map(function (col) {
            var type = S.ScalarTypes.GetSymbol(col.type);
            if (type == null) throw new Error("column " + t.name + "." + col.name + ": unknown type " + col.type);
            return new S.ColumnSymbol(col.name, type, null, null, null, null);
          });
        }
        var members = (d.tables || []).map(function (t) {
          return new S.TableSymbol.$ctor4(t.name, columns(t));
        }).concat((d.externalTables || []).map(function (t) {
          return new S.ExternalTableSymbol.$ctor1(t.name, columns(t));
        }), (d.materializedViews || []).map(function (t) {
          return new S.MaterializedViewSymbol.$ctor2(t.name, columns(t), null, null);
        }), (d.functions || []).map(function (f) {
          return new S.FunctionSymbol.$ctor16(f.name, f.parameters, f.body, null);
        }));
        return new S.DatabaseSymbol.$ctor1(d.name, members, false);
      }), !!c.open);
      if (c.name === s.cluster) home = cluster;
      return cluster;
    });
    g = g.WithClusterList(clusters);
    if (home == null) throw new Error("cluster " + s.cluster + " is not in the schema");
    globals = g.WithCluster(home);
    schemaVersion = s.version;
    states = {};
    return "";
  }

  function analyze(version, database, text) {
    if (version !== schemaVersion) return JSON.stringify({ stale: true });
    var state = stateOf(database);
    if (state == null) return JSON.stringify({ noDatabase: true });
    // Management commands need the grammar that is left out above: whoever knows them gets them as text.
    var kind = L.KustoCode.GetKind(text);
    if (kind !== "Query") return JSON.stringify({ kind: kind });
    var code = L.KustoCode.ParseAndAnalyze(text, state);
    var out = { kind: code.Kind, analyzed: code.HasSemantics, diagnostics: diagnostics(code) };
    var failed = !code.HasSemantics || out.diagnostics.some(function (d) { return d.severity === "Error"; });
    if (!failed && code.Syntax != null) {
      var t = new Tree();
      out.root = t.node(code.Syntax, "");
      out.bodies = t.bodies;
      out.tables = t.tables;
      t.sources();
    }
    return JSON.stringify(out);
  }

  // check is analyze without the tree, which costs as much again, and without a schema when version is
  // empty: then the diagnostics are those of syntax alone. It tells what names the text refers to and what
  // its statements return even when it is wrong.
  function check(version, database, text) {
    var kind = L.KustoCode.GetKind(text), code;
    if (kind !== "Query") return JSON.stringify({ kind: kind });
    if (version === "") {
      code = L.KustoCode.Parse(text, globals);
    } else {
      if (version !== schemaVersion) return JSON.stringify({ stale: true });
      var state = stateOf(database);
      if (state == null) return JSON.stringify({ noDatabase: true });
      code = L.KustoCode.ParseAndAnalyze(text, state);
    }
    var names = {};
    var out = { kind: kind, analyzed: version === "" || code.HasSemantics, diagnostics: diagnostics(code), names: [], results: [] };
    (function walk(e) {
      if (Bridge.is(e, X.NameReference)) names[e.SimpleName] = true;
      for (var i = 0, n = e.ChildCount; i < n; i++) {
        var c = e.GetChild(i);
        if (c != null && !c.IsToken) walk(c);
      }
    })(code.Syntax);
    out.names = Object.keys(names);
    each(code.Syntax.Statements, function (s) {
      while (s.Kind === X.SyntaxKind.SeparatedElement && s.ChildCount > 0) s = s.GetChild(0);
      if (!Bridge.is(s, X.ExpressionStatement)) return;
      var t = s.Expression.ResultType, r = { columns: [], open: true };
      if (Bridge.is(t, S.TableSymbol)) r = { columns: columnsOf(t), open: t.IsOpen };
      out.results.push(r);
    });
    return JSON.stringify(out);
  }

  function diagnostics(code) {
    // Those of syntax are among the others, but do not say so.
    var syntax = {}, r = [];
    each(code.GetSyntaxDiagnostics(), function (d) { syntax[d.Code + " " + d.Start] = true; });
    each(code.HasSemantics ? code.GetDiagnostics() : code.GetSyntaxDiagnostics(), function (d) {
      r.push({
        severity: d.Severity, code: d.Code, message: d.Message, start: d.Start, length: d.Length,
        syntax: syntax[d.Code + " " + d.Start],
      });
    });
    return r;
  }

  function columnsOf(t) {
    return array(t.Columns).map(function (c) { return { name: c.Name, type: scalar(c.Type) }; });
  }

  // Tree turns a bound syntax tree into plain data. Table types are shared by many nodes: they are
  // written once, in tables, and nodes name them by index.
  // The same goes for the bodies of functions that the text declares, which are bound anew for the arguments of a
  // call: they are in bodies.
  function Tree() {
    this.tables = [];
    this.symbols = [];
    this.ids = new Map();
    this.bodies = [];
    this.roots = new Map();
    this.positions = new Map();
    this.base = 0;
    this.declaring = 0;
  }

  // maxBodies bounds the answer: functions that call functions twice double it each time.
  var maxBodies = 256;

  // body is the index of the body that a call of e runs, undefined when e calls no function of the text.
  Tree.prototype.body = function (e) {
    if (!Bridge.is(e, X.FunctionCallExpression)) {
      if (!Bridge.is(e, X.NameReference)) return undefined;
      if (e.Parent != null && Bridge.is(e.Parent, X.FunctionCallExpression)) return undefined;
    }
    var f = e.ReferencedSymbol, root = e.GetCalledFunctionBody();
    if (root == null || f == null || !Bridge.is(f, S.FunctionSymbol)) return undefined;
    var declared = System.Array.getItem(f.Signatures, 0).Declaration;
    if (declared == null || this.declaring > 0) return undefined;
    if (!this.roots.has(root)) {
      if (this.bodies.length >= maxBodies) return undefined;
      var i = this.bodies.push(null) - 1, base = this.base;
      this.roots.set(root, i);
      // Its text is that of the declaration, from the brace on.
      this.base = (this.starts(declared) || 0) - root.TextStart;
      this.bodies[i] = this.node(root, "");
      this.base = base;
    }
    return this.roots.get(root);
  };

  // starts is where a node of the tree, or of a body, starts in the text.
  Tree.prototype.starts = function (e) { return this.positions.get(e); };

  // members are the tables that a name with wildcards stands for, as if each had been named; undefined when there is anything
  // else among them.
  Tree.prototype.members = function (group) {
    var tree = this, only = true;
    var list = array(group.Members).map(function (m) {
      only = only && Bridge.is(m, S.TableSymbol);
      var r = { kind: "NameReference", name: m.Name, symbol: tree.symbol(m) };
      if (only) tree.setType(r, m);
      return r;
    });
    return only ? list : undefined;
  };

  // setType gives r the type t: a scalar's name, or what sort of type it is and, for those with
  // columns, which.
  Tree.prototype.setType = function (r, t) {
    if (t == null) return;
    var tuple = Bridge.is(t, S.TupleSymbol);
    if (!tuple && !Bridge.is(t, S.TableSymbol)) {
      r.type = scalar(t);
      return;
    }
    var i = this.symbols.indexOf(t);
    if (i < 0) {
      i = this.symbols.push(t) - 1;
      this.tables.push({
        name: t.Name || undefined,
        columns: columnsOf(t),
      });
    }
    r.type = tuple ? "tuple" : "table";
    r.columns = i;
  };

  // A bag or an array of a known shape is dynamic all the same.
  function scalar(t) {
    if (t == null) return "";
    if (Bridge.is(t, S.DynamicSymbol)) return "dynamic";
    return Bridge.is(t, S.ScalarSymbol) ? t.Name : symbolKinds[t.Kind].toLowerCase();
  }

  // sources notes, for each column, the node that it is computed from (known once all nodes have ids).
  Tree.prototype.sources = function () {
    for (var i = 0; i < this.symbols.length; i++) {
      var cols = this.tables[i].columns, ids = this.ids;
      each(this.symbols[i].Columns, function (c, j) {
        var id = c.Source == null ? undefined : ids.get(c.Source);
        if (id !== undefined) cols[j].source = id;
      });
    }
  };

  Tree.prototype.symbol = function (s) {
    var r = { kind: symbolKinds[s.Kind], name: s.Name };
    if (Bridge.is(s, S.TableSymbol) || Bridge.is(s, S.DatabaseSymbol)) {
      var db = Bridge.is(s, S.DatabaseSymbol) ? s : globals.GetDatabase(s);
      var cl = db == null ? null : globals.GetCluster(db);
      if (db != null) r.database = db.Name;
      if (cl != null) r.cluster = cl.Name;
    }
    return r;
  };

  Tree.prototype.node = function (e, field) {
    // A separated element is its element: the separator says nothing that order does not.
    while (e.Kind === X.SyntaxKind.SeparatedElement && e.ChildCount > 0) e = e.GetChild(0);
    var r = { id: this.ids.size, kind: syntaxKinds[e.Kind], field: field || undefined };
    this.ids.set(e, r.id);
    r.start = e.TextStart + this.base;
    r.end = e.End + this.base;
    if (e.Kind === X.SyntaxKind.FunctionBody) this.positions.set(e, r.start);
    if (e.IsToken) {
      r.text = e.Text;
      return r;
    }
    if (Bridge.is(e, X.Expression)) {
      this.setType(r, e.ResultType);
      if (e.IsLiteral) {
        var v = e.LiteralValueInfo;
        r.value = v == null || v.ValueText == null ? "" : v.ValueText;
      }
    }
    if (Bridge.is(e, X.NameDeclaration) || Bridge.is(e, X.NameReference)) r.name = e.SimpleName;
    else if (Bridge.is(e, X.PrimitiveTypeExpression)) r.name = e.Type == null ? undefined : e.Type.Text;
    var sym = e.ReferencedSymbol;
    if (sym != null) r.symbol = this.symbol(sym);
    // table('name') refers to the table as its name would.
    if (sym === L.Functions.Table && Bridge.is(e.ResultType, S.TableSymbol) && globals.GetDatabase(e.ResultType) != null) {
      r.symbol = this.symbol(e.ResultType);
    }
    if (sym != null && Bridge.is(sym, S.GroupSymbol)) r.members = this.members(sym);
    r.body = this.body(e);
    if (r.name !== undefined || r.value !== undefined) return r;
    // What a declared body calls is said where it is called itself.
    var declares = e.Kind === X.SyntaxKind.FunctionDeclaration;
    if (declares) this.declaring++;
    for (var i = 0, n = e.ChildCount; i < n; i++) {
      var c = e.GetChild(i);
      if (c == null || c.IsMissing || (c.IsToken && !c.Text)) continue;
      if (c.IsToken && /^[(),;|\[\]{}:.]$/.test(c.Text)) continue;
      (r.children = r.children || []).push(this.node(c, e.GetName(i)));
    }
    if (declares) this.declaring--;
    return r;
  };

  return { setSchema: setSchema, analyze: analyze, check: check };
})();
