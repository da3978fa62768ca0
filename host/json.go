package host

import (
	"github.com/tetratelabs/wazero/api"

	"gnomon/sdk/abi"
	"gnomon/sdk/jsonfields"
)

// jsonFunctions are those of the group for fields of JSON data: the host finds them
// at native speed, for a whole batch in one call.
var jsonFunctions = map[string]function{
	abi.ImportFieldsDeclare: fieldsDeclare,
	abi.ImportFieldsRead:    fieldsRead,
}

// parseFuel is how many bytes of a batch are searched for fields for one unit.
const parseFuel = 2

// fieldsDeclare says which fields the table has from now on.
func fieldsDeclare(c *call, m api.Module, stack []uint64) {
	var names []string
	for rest := c.bytes(m, abi.ImportFieldsDeclare, stack[0], stack[1]); len(rest) > 0; {
		name, after, err := abi.NextName(rest)
		if err != nil {
			stack[0] = c.refuse(abi.BadArgument, "fields_declare refused the names: they are cut off")
			return
		}
		if len(names) == abi.MaxFields || len(name) > abi.MaxField {
			stack[0] = c.refuse(abi.TooLarge, "fields_declare refused the names: the limits are %d names of %d bytes (%s)", abi.MaxFields, abi.MaxField, fixed)
			return
		}
		names, rest = append(names, string(name)), after
	}
	c.pay(uint64(len(names)) * callFuel)
	c.in.fields, c.table = jsonfields.NewReader(names...), nil
	stack[0] = uint64(len(names))
}

// fieldsRead gives the table of the batch.
func fieldsRead(c *call, m api.Module, stack []uint64) {
	if c.name != abi.ExportApply && c.name != abi.ExportUpcast || c.in.fields == nil {
		stack[0] = c.refuse(abi.BadArgument, "it used fields_read in %s, or before fields_declare", c.name)
		return
	}
	if c.table == nil {
		c.pay(uint64(len(c.batch)) / parseFuel)
		table, err := c.in.fields.AppendTable(c.in.table[:0], c.batch)
		if err != nil {
			c.end(err)
		}
		c.in.table, c.table = table, table
	}
	stack[0] = c.give(m, abi.ImportFieldsRead, c.table, stack[0], stack[1])
}
