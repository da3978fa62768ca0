package broker

// PublishAtomic is publishAtomic, for tests.
var PublishAtomic = (*Broker).publishAtomic
