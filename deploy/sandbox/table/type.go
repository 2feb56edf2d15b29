package table

import "fmt"

// Type is a Kusto scalar type. Its zero value is no type.
type Type uint8

// The scalar types, in the order Kusto's documentation lists them.
const (
	Bool Type = iota + 1
	Int
	Long
	Real
	Decimal
	DateTime
	TimeSpan
	GUID
	String
	Dynamic
)

// Kind is the Go slice of a Vector that holds a type's values.
type Kind uint8

// The three representations.
const (
	Ints Kind = iota + 1
	Reals
	Strings
)

var typeNames = [...]string{
	Bool: "bool", Int: "int", Long: "long", Real: "real", Decimal: "decimal", DateTime: "datetime",
	TimeSpan: "timespan", GUID: "guid", String: "string", Dynamic: "dynamic",
}

// typeAliases are the other names Kusto accepts for its types.
var typeAliases = map[string]Type{
	"boolean": Bool, "int32": Int, "int64": Long, "double": Real, "date": DateTime, "time": TimeSpan,
	"uuid": GUID, "uniqueid": GUID,
}

// Types lists every type once.
func Types() []Type {
	return []Type{Bool, Int, Long, Real, Decimal, DateTime, TimeSpan, GUID, String, Dynamic}
}

// ParseType finds a type by its Kusto name (`long`) or one of its aliases (`int64`).
func ParseType(name string) (Type, error) {
	for t := Bool; t <= Dynamic; t++ {
		if typeNames[t] == name {
			return t, nil
		}
	}
	if t, ok := typeAliases[name]; ok {
		return t, nil
	}
	return 0, fmt.Errorf("column type must be a kusto scalar type, got %q", name)
}

// String is the type's name in KQL, or `Type(n)` for what is no type.
func (t Type) String() string {
	if t >= Bool && t <= Dynamic {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Kind says which slice of a Vector holds the values of the type. It panics when t is no type.
func (t Type) Kind() Kind {
	switch t {
	case Bool, Int, Long, DateTime, TimeSpan:
		return Ints
	case Real:
		return Reals
	case Decimal, GUID, String, Dynamic:
		return Strings
	}
	panic(fmt.Sprintf("table: no representation for %v", t))
}

// Nullable is false for string alone.
func (t Type) Nullable() bool { return t != String }
