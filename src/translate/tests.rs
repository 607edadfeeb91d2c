//! Laws of names. What becomes of a gateway is in `tests/golden/`.

use super::*;

#[test]
fn a_cluster_name_tells_its_gateway_and_upstream() {
    let (gateway, upstream) = (GatewayName::new("fraud").unwrap(), UpstreamName::new("v2").unwrap());
    let name = cluster_name(&gateway, &upstream);
    assert_eq!(parse_cluster_name(&name), Some((gateway, upstream)));
    for other in ["fraud", "fraud/", "/v2", "fraud/v2/x", "Fraud/v2", "ca/fraud/v2"] {
        assert_eq!(parse_cluster_name(other), None, "{other}");
    }
}
