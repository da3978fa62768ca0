package main

import (
	"encoding/json"

	"gnomon/cmd/engine/trial"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/query/wire"
	"gnomon/host"
)

// ModuleFile implements query.Modules.
func (n *node) ModuleFile(spec engine.Spec) (*wire.ModuleFile, error) {
	digest := spec.Module.Digest()
	module, err := n.declared.kept.get(digest)
	if err != nil { // it may be on its way out, with its generation
		return nil, nil
	}
	b, err := host.Inspect(module)
	if err != nil {
		return nil, err
	}
	var p config.Projection
	if err := json.Unmarshal(spec.Declaration, &p); err != nil {
		return nil, err
	}
	is := host.ReadStatic(module)
	f := &wire.ModuleFile{
		Name: p.Module, Bytes: len(module), Language: is.Language, Tools: is.Toolchain, Functions: is.Functions,
		Code: is.Sizes.Code, Data: is.Sizes.Data, Custom: is.Sizes.Custom,
		Memory: b.MinPages << 16, MaxMemory: b.MaxPages << 16, Table: b.Table,
		Signatures: n.config.Plugins.Signatures, Signer: n.declared.signer(digest),
	}
	imports, exports := trial.Signatures(b)
	f.Imports, f.Exports = symbols(imports), symbols(exports)
	return f, nil
}

func symbols(list []trial.Signature) []wire.ModuleSymbol {
	out := make([]wire.ModuleSymbol, 0, len(list))
	for _, s := range list {
		out = append(out, wire.ModuleSymbol(s))
	}
	return out
}

// signer is the trusted key that signed a module, and its comment; empty: none, as far as
// is known.
func (ds *declarations) signer(digest string) string {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.signers[digest]
}

// noteSigner remembers who signed a module.
func (ds *declarations) noteSigner(digest, signer string) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.signers == nil {
		ds.signers = map[string]string{}
	}
	ds.signers[digest] = signer
}
