// The parser was compiled from C# with Bridge.NET, whose helpers are called some hundred thousand times for a
// query: a type test looks at everything that a type can be, and a count at every sort of collection. Here are
// short ways for what is nearly always asked. Each gives what Bridge's own gives, and leaves the rest to it; they
// do not call each other, since a call costs more than what they do.
"use strict";
(function () {
  var is = Bridge.is, hasValue = Bridge.hasValue, isArray = Bridge.isArray, ref = Bridge.ref;
  var referenceEquals = Bridge.referenceEquals, staticEquals = Bridge.staticEquals, mul = Bridge.Int.mul;
  var getCount = System.Array.getCount, getItem = System.Array.getItem, systemObject = System.Object;

  // Of an object of a class and another class the prototypes tell.
  Bridge.is = function (n, t, ignoreIs, allowNull) {
    if (n == null) return !!allowNull;
    if (typeof n === "object" && typeof t === "function" && !n.$boxed) {
      if (n instanceof t) return true;
      if (n.constructor.$kind === "class" && t.$kind === "class" && !t.$is && !t.$literal && t !== systemObject) return false;
    }
    return is(n, t, ignoreIs, allowNull);
  };
  Bridge.as = function (n, t, allowNull) {
    if (n == null) return allowNull ? n : null;
    if (typeof n === "object" && typeof t === "function" && !n.$boxed) {
      if (n instanceof t) return n;
      if (n.constructor.$kind === "class" && t.$kind === "class" && !t.$is && !t.$literal && t !== systemObject) return null;
    }
    if (!is(n, t, false, allowNull)) return null;
    return n.$boxed && t !== Object && t !== systemObject ? n.v : n;
  };

  Bridge.isArray = function (n, t) {
    if (Array.isArray(n)) return true;
    if (n == null || !t && n.constructor.$kind === "class" && !n.constructor.$isArray) return false;
    return isArray(n, t);
  };
  Bridge.hasValue = function (n) { return n != null && (!n.$boxed || hasValue(n)); };
  Bridge.referenceEquals = function (a, b) {
    if (a == null) return b == null || !!b.$boxed && !hasValue(b);
    return a.$boxed ? referenceEquals(a, b) : a === b;
  };
  Bridge.staticEquals = function (a, b) {
    if (b == null) return a == null || !!a.$boxed && !hasValue(a);
    return staticEquals(a, b);
  };
  Bridge.Int.mul = function (a, b, check) {
    return check || a == null || b == null ? mul(a, b, check) : Math.imul(a, b);
  };

  // A generic interface's members have names that are put together from its type argument's. The type keeps them.
  function member(t, key, before, after) {
    return t[key] = "System$Collections$Generic$" + before + "$1$" + Bridge.getTypeAlias(t) + after;
  }
  System.Array.getCount = function (n, t) {
    if (Array.isArray(n)) return n.length;
    if (n != null && (n.constructor.$kind === "class" && !n.constructor.$isArray || !isArray(n))) {
      if (t) {
        var f = n[t.$k2oGetCount || member(t, "$k2oGetCount", "ICollection", "$getCount")];
        if (typeof f === "function") return f.call(n);
      }
      f = n.System$Collections$ICollection$getCount;
      if (typeof f === "function") return f.call(n);
      if (t) {
        f = n[t.$k2oCount || member(t, "$k2oCount", "ICollection", "$Count")];
        if (f !== undefined) return f;
      }
    }
    return getCount(n, t);
  };
  System.Array.getItem = function (n, i, t) {
    if (t) {
      if (Array.isArray(n)) return n[i];
      if (n != null && (n.constructor.$kind === "class" && !n.constructor.$isArray || !isArray(n))) {
        var f = n[t.$k2oGetItem || member(t, "$k2oGetItem", "IList", "$getItem")];
        if (typeof f === "function") return f.call(n, i);
      }
    }
    return getItem(n, i, t);
  };

  // A reference to a field or an element, which is made for every ref and out.
  function Ref(object, key) { this.object = object; this.key = key; }
  Object.defineProperty(Ref.prototype, "v", {
    get: function () { return this.object[this.key]; },
    set: function (v) { this.object[this.key] = v; }
  });
  Bridge.ref = function (n, t) { return typeof t === "string" || typeof t === "number" ? new Ref(n, t) : ref(n, t); };

  // Which signature of a function or an operator is meant follows from the types of its arguments, for all but a
  // few, and is found out by comparing every one with every other.
  var S = Kusto.Language.Symbols, X = Kusto.Language.Syntax, T = S.ScalarTypes;
  var binder = Kusto.Language.Binding.Binder.prototype, best = binder.GetBestMatchingSignatures;
  var scalars = new Map([T.Bool, T.Int, T.Long, T.Real, T.Decimal, T.String, T.DateTime, T.TimeSpan, T.Guid].map(function (t, i) { return [t, i + 1]; }));
  var mostArguments = 5, matches = new WeakMap(); // by signatures: by types; null where more than these decides

  function byTypes(signatures) {
    var n = System.Array.getCount(signatures, S.Signature);
    for (var i = 0; i < n; i++) {
      var s = System.Array.getItem(signatures, i, S.Signature), symbol = s.Symbol;
      if (!(symbol instanceof S.OperatorSymbol) &&
        !(symbol instanceof S.FunctionSymbol && Kusto.Language.GlobalState.Default.IsBuiltInFunction(symbol))) return false;
      for (var j = 0, m = System.Array.getCount(s.Parameters, S.Parameter); j < m; j++) {
        if (System.Array.getItem(s.Parameters, j, S.Parameter).DefaultValueIndicator != null) return false;
      }
    }
    return n > 1;
  }

  // typesKey is a number for the types, undefined where one is not among the scalars or an argument is special.
  function typesKey(args, types, all) {
    var n = types.Count, key = all ? 2 : 1; // and a digit for each type
    if (args.Count !== n || n > mostArguments) return undefined;
    for (var i = 0; i < n; i++) {
      var id = scalars.get(types.getItem(i)), arg = args.getItem(i);
      if (id === undefined || arg instanceof X.StarExpression || arg instanceof X.SimpleNamedExpression) return undefined;
      key = key * 10 + id;
    }
    return key;
  }

  binder.GetBestMatchingSignatures = function (signatures, args, types, result, all) {
    var known = matches.get(signatures), key, list;
    if (known === undefined) matches.set(signatures, known = byTypes(signatures) ? new Map() : null);
    if (known === null || result.Count !== 0 || (key = typesKey(args, types, all)) === undefined) {
      return best.call(this, signatures, args, types, result, all);
    }
    if ((list = known.get(key)) === undefined) {
      best.call(this, signatures, args, types, result, all);
      known.set(key, list = []);
      for (var j = 0; j < result.Count; j++) list.push(result.getItem(j));
      return;
    }
    for (var i = 0; i < list.length; i++) result.add(list[i]);
  };
})();
