package xdswire

import "google.golang.org/protobuf/encoding/protowire"

// eds is the number of the discovery type EDS.
const eds = 3

// EndpointsOf returns the name under which a cluster's endpoints are found; nil: they are part of the cluster, or found by
// DNS.
func EndpointsOf(cluster []byte) (name []byte, err error) {
	var byEDS bool
	var service []byte
	err = fields(cluster, func(number protowire.Number, value uint64, bytes []byte) (err error) {
		switch number {
		case 1:
			name = bytes
		case 2:
			byEDS = value == eds
		case 3:
			service, err = text(bytes, 2)
		}
		return err
	})
	switch {
	case err != nil || !byEDS:
		return nil, err
	case len(service) > 0:
		return service, nil
	}
	return name, nil
}

// common are the paths in a CommonTlsContext to the names of secrets.
var common = [][]protowire.Number{
	{6, 1},    // tls_certificate_sds_secret_configs
	{7, 1},    // validation_context_sds_secret_config
	{8, 2, 1}, // combined_validation_context.validation_context_sds_secret_config
}

// SecretsOf returns the names of the secrets that a cluster gets over ADS.
func SecretsOf(cluster []byte) (names [][]byte, err error) {
	find := func(socket []byte) {
		// transport_socket.typed_config.value is an UpstreamTlsContext, whose first field is the CommonTlsContext.
		problem := below(socket, []protowire.Number{3, 2, 1}, func(context []byte) {
			for _, path := range common {
				if e := below(context, path, func(name []byte) { names = append(names, name) }); e != nil {
					err = e
				}
			}
		})
		if problem != nil {
			err = problem
		}
	}
	for _, path := range [][]protowire.Number{{24}, {43, 3}} { // transport_socket, transport_socket_matches.transport_socket
		if problem := below(cluster, path, find); problem != nil {
			return nil, problem
		}
	}
	return names, err
}

// RoutesOf returns the names of the route configurations that a listener gets over ADS.
func RoutesOf(listener []byte) (names [][]byte, err error) {
	for _, chain := range []protowire.Number{3, 25} { // filter_chains, default_filter_chain
		// filters.typed_config.value.rds.route_config_name
		if err := below(listener, []protowire.Number{chain, 3, 4, 2, 3, 2}, func(name []byte) { names = append(names, name) }); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// HasVHDS reports whether a route configuration gets its virtual hosts as resources of their own.
func HasVHDS(route []byte) (has bool, err error) {
	err = fields(route, func(number protowire.Number, _ uint64, bytes []byte) error {
		has = has || number == 9 && bytes != nil
		return nil
	})
	return has, err
}

// LayerKeys calls f with each key of a runtime layer.
func LayerKeys(layer []byte, f func(key []byte)) error {
	return below(layer, []protowire.Number{2, 1, 1}, f) // layer.fields.key
}
