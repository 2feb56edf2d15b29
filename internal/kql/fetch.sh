#!/bin/sh
# Puts Microsoft's KQL parser where `go build` embeds it: assets/kusto.js.gz.
#
# npm fetches the version that npm/package-lock.json pins and checks its integrity hash; no script of
# the package runs. The result appears by an atomic rename, so a build never sees half of it, and
# nothing is done when it is already there. Needs npm and the node that comes with it.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
assets=$here/assets

for tool in node npm; do
	command -v "$tool" >/dev/null 2>&1 || {
		echo "fetch.sh: $tool is needed to fetch the KQL parser, and is not on the PATH" >&2
		exit 1
	}
done

# What the result depends on: the lock and this script.
want=$(cat "$here/npm/package-lock.json" "$here/fetch.sh" | node -e '
	const hash = require("crypto").createHash("sha256");
	process.stdin.on("data", d => hash.update(d)).on("end", () => console.log(hash.digest("hex")));')

if [ -f "$assets/kusto.js.gz" ] && [ "$(cat "$assets/stamp" 2>/dev/null)" = "$want $(wc -c <"$assets/kusto.js.gz" | tr -d ' ')" ]; then
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp" "$assets"/.new.*' EXIT
trap 'exit 1' HUP INT TERM

cp "$here/npm/package.json" "$here/npm/package-lock.json" "$here/npm/.npmrc" "$tmp/"
(cd "$tmp" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)

mkdir -p "$assets"
node -e '
	const fs = require("fs"), zlib = require("zlib");
	const [dir, out] = process.argv.slice(1);
	// Run time first, then the parser: Go evaluates them as one script, in this order.
	const text = ["bridge.min.js", "Kusto.Language.Bridge.min.js"]
		.map(f => fs.readFileSync(dir + "/" + f, "utf8").replace(/^\uFEFF/, ""))
		.join("\n;\n");
	for (const mark of ["17.10.1 - Bridge.NET", "Kusto.Language.KustoCode"])
		if (!text.includes(mark)) throw new Error("the package does not have what it should: " + mark);
	fs.writeFileSync(out, zlib.gzipSync(text, {level: 9}));
' "$tmp/node_modules/@kusto/language-service-next" "$assets/.new.$$"

size=$(wc -c <"$assets/.new.$$" | tr -d ' ')
mv -f "$assets/.new.$$" "$assets/kusto.js.gz"
echo "$want $size" >"$assets/.new.$$"
mv -f "$assets/.new.$$" "$assets/stamp"
echo "fetch.sh: the KQL parser is in internal/kql/assets ($size bytes)" >&2
