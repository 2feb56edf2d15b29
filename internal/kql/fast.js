// The parser was compiled from C# with Bridge.NET, whose helpers are called some hundred thousand times for a
// query: a type test looks at everything that a type can be, and a count at every sort of collection. Here are
// short ways for what is nearly always asked. Each gives what Bridge's own gives, and leaves the rest to it.
"use strict";
(function () {
  var is = Bridge.is, hasValue = Bridge.hasValue, isArray = Bridge.isArray;
  var referenceEquals = Bridge.referenceEquals, staticEquals = Bridge.staticEquals, mul = Bridge.Int.mul;
  var getCount = System.Array.getCount, getItem = System.Array.getItem;

  // Of an object of a class and another class the prototypes tell.
  Bridge.is = function (n, t, ignoreIs, allowNull) {
    if (n == null) return !!allowNull;
    if (typeof n === "object" && typeof t === "function" && !n.$boxed) {
      if (n instanceof t) return true;
      if (n.constructor.$kind === "class" && t.$kind === "class" && !t.$is && !t.$literal && t !== System.Object) return false;
    }
    return is(n, t, ignoreIs, allowNull);
  };
  Bridge.as = function (n, t, allowNull) {
    if (!Bridge.is(n, t, false, allowNull)) return null;
    return n != null && n.$boxed && t !== Object && t !== System.Object ? n.v : n;
  };

  Bridge.isArray = function (n, t) {
    if (Array.isArray(n)) return true;
    if (n == null || !t && n.constructor.$kind === "class" && !n.constructor.$isArray) return false;
    return isArray(n, t);
  };
  Bridge.hasValue = function (n) { return n != null && (!n.$boxed || hasValue(n)); };
  Bridge.referenceEquals = function (a, b) {
    if (a == null) return !Bridge.hasValue(b);
    return a.$boxed ? referenceEquals(a, b) : a === b;
  };
  Bridge.staticEquals = function (a, b) {
    if (b == null) return !Bridge.hasValue(a);
    return staticEquals(a, b);
  };
  Bridge.Int.mul = function (a, b, check) {
    return check || a == null || b == null ? mul(a, b, check) : Math.imul(a, b);
  };

  // A generic interface's members have names that are put together from its type argument's.
  var getters = new Map(), counts = new Map(), items = new Map();
  function member(names, t, before, after) {
    var name = names.get(t);
    if (name === undefined) names.set(t, name = "System$Collections$Generic$" + before + "$1$" + Bridge.getTypeAlias(t) + after);
    return name;
  }
  System.Array.getCount = function (n, t) {
    if (Array.isArray(n)) return n.length;
    if (t && !Bridge.isArray(n)) {
      var name = member(getters, t, "ICollection", "$getCount");
      if (typeof n[name] === "function") return n[name]();
      if (typeof n.System$Collections$ICollection$getCount !== "function") {
        var count = n[member(counts, t, "ICollection", "$Count")];
        if (count !== undefined) return count;
      }
    }
    return getCount(n, t);
  };
  System.Array.getItem = function (n, i, t) {
    if (t) {
      if (Array.isArray(n)) return n[i];
      var name = member(items, t, "IList", "$getItem");
      if (typeof n[name] === "function" && !Bridge.isArray(n)) return n[name](i);
    }
    return getItem(n, i, t);
  };
})();
