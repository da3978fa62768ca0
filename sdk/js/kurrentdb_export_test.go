package js

// AttachAnyKurrentDB makes a module that takes the script from its settings,
// {"script": …, "settings": …}, so that one module, which takes a while to compile, runs
// all scenarios. Places in the script are those of <input>.
func AttachAnyKurrentDB() ([]byte, error) {
	prelude, err := kurrentdbPrelude()
	if err != nil {
		return nil, err
	}
	const driver = `(function (api) {
  const given = JSON.parse(api.host.config());
  api.host.config = () => JSON.stringify(given.settings || {});
  globalThis.theScript = given.script;
  return api;
})`
	return attach(flagEmit, []source{
		{kindPrelude, "gnomon.js", gnomonPrelude},
		{kindPrelude, "driver.js", []byte(driver)},
		{kindPrelude, "kurrentdb.js", prelude},
		{kindScript, "driver.js", []byte("(0, eval)(theScript)")},
	})
}
