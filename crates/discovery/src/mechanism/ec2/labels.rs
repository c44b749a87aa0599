//! What is known of an instance, as labels.

use std::collections::BTreeMap;

use model::Labels;

use super::api::Instance;
use crate::labels::{Pairs, join_host_port, last_wins, sanitized};

const PREFIX: &str = "__meta_ec2_";

/// The target of an instance; instances without a private address have none, as they are gone or not
/// there yet.
pub(super) fn target(
    instance: &Instance,
    owner: &str,
    region: &str,
    zones: Option<&BTreeMap<String, String>>,
    port: u16,
) -> Option<Labels> {
    let private_ip = instance.private_ip_address.as_deref()?;
    let zone = instance.placement.availability_zone.as_str();
    let zone_id = zones.and_then(|zones| zones.get(zone));
    let mut labels: Pairs = vec![("__address__".to_owned(), join_host_port(private_ip, port))];
    let public = instance.ip_address.as_deref();
    for (name, value) in [
        ("instance_id", Some(instance.instance_id.as_str())),
        ("region", Some(region)),
        ("owner_id", Some(owner)),
        ("private_ip", Some(private_ip)),
        ("private_dns_name", instance.private_dns_name.as_deref()),
        ("platform", instance.platform.as_deref()),
        ("public_ip", public),
        ("public_dns_name", public.and(instance.dns_name.as_deref())),
        ("ami", Some(instance.image_id.as_str())),
        ("availability_zone", Some(zone)),
        ("availability_zone_id", zone_id.map(String::as_str)),
        ("instance_state", Some(instance.state.name.as_str())),
        ("instance_type", Some(instance.instance_type.as_str())),
        ("instance_lifecycle", instance.lifecycle.as_deref()),
        ("architecture", instance.architecture.as_deref()),
        ("vpc_id", instance.vpc_id.as_deref()),
    ] {
        if let Some(value) = value {
            labels.push((format!("{PREFIX}{name}"), value.to_owned()));
        }
    }
    if instance.vpc_id.is_some() {
        labels.extend(network(instance));
    }
    for tag in &instance.tags.items {
        let name = format!("{PREFIX}tag_{}", sanitized(&tag.key));
        labels.push((name, tag.value.clone()));
    }
    Some(last_wins(labels))
}

/// Lists in which every item stands between commas, for regular expressions.
fn network(instance: &Instance) -> Pairs {
    let mut subnets: Vec<&str> = Vec::new();
    let mut ipv6: Vec<&str> = Vec::new();
    // By the place of the interface; places without one stay empty.
    let mut primary_ipv6: Vec<&str> = Vec::new();
    for interface in &instance.network_interfaces.items {
        let Some(subnet) = interface.subnet_id.as_deref() else {
            continue;
        };
        if !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
        for address in &interface.ipv6_addresses.items {
            ipv6.push(&address.ipv6_address);
            if address.is_primary {
                let place = usize::from(interface.attachment.device_index);
                if primary_ipv6.len() <= place {
                    primary_ipv6.resize(place + 1, "");
                }
                primary_ipv6[place] = &address.ipv6_address;
            }
        }
    }
    let mut labels = Pairs::new();
    let mut push = |name: &str, value: String| labels.push((format!("{PREFIX}{name}"), value));
    push(
        "primary_subnet_id",
        instance.subnet_id.clone().unwrap_or_default(),
    );
    push("subnet_id", format!(",{},", subnets.join(",")));
    if !ipv6.is_empty() {
        push("ipv6_addresses", format!(",{},", ipv6.join(",")));
    }
    if !primary_ipv6.is_empty() {
        push(
            "primary_ipv6_addresses",
            format!(",{},", primary_ipv6.join(",")),
        );
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::super::api::{Instances, parse};
    use super::*;

    #[test]
    fn an_instance_becomes_a_target() {
        let answer = include_str!("testdata/instances.xml");
        let answer: Instances = parse(answer.as_bytes()).unwrap();
        let zones = BTreeMap::from([("eu-west-2a".to_owned(), "euw2-az2".to_owned())]);
        let all: Vec<Labels> = answer
            .reservations
            .items
            .iter()
            .flat_map(|reservation| &reservation.instances.items)
            .filter_map(|instance| target(instance, "4711", "eu-west-2", Some(&zones), 9100))
            .collect();
        // The third has no private address: it is terminated.
        assert_eq!(all.len(), 2);
        let expected = Labels::from([
            ("__address__", "10.0.0.12:9100"),
            ("__meta_ec2_ami", "ami-1"),
            ("__meta_ec2_architecture", "arm64"),
            ("__meta_ec2_availability_zone", "eu-west-2a"),
            ("__meta_ec2_availability_zone_id", "euw2-az2"),
            ("__meta_ec2_instance_id", "i-1"),
            ("__meta_ec2_instance_lifecycle", "spot"),
            ("__meta_ec2_instance_state", "running"),
            ("__meta_ec2_instance_type", "t4g.small"),
            ("__meta_ec2_ipv6_addresses", ",2001:db8:2::1,2001:db8:2::2,"),
            ("__meta_ec2_owner_id", "4711"),
            ("__meta_ec2_primary_ipv6_addresses", ",,2001:db8:2::2,"),
            ("__meta_ec2_primary_subnet_id", "subnet-1"),
            ("__meta_ec2_private_dns_name", "ip-10-0-0-12.internal"),
            ("__meta_ec2_private_ip", "10.0.0.12"),
            ("__meta_ec2_public_dns_name", "ec2-1-2-3-4.example"),
            ("__meta_ec2_public_ip", "1.2.3.4"),
            ("__meta_ec2_region", "eu-west-2"),
            ("__meta_ec2_subnet_id", ",subnet-1,subnet-2,"),
            ("__meta_ec2_tag_aws_autoscaling_groupName", "web & co"),
            ("__meta_ec2_vpc_id", "vpc-1"),
        ]);
        assert_eq!(all[0], expected);
        let expected = Labels::from([
            ("__address__", "10.0.0.13:9100"),
            ("__meta_ec2_ami", "ami-1"),
            ("__meta_ec2_availability_zone", "eu-west-2z"),
            ("__meta_ec2_instance_id", "i-2"),
            ("__meta_ec2_instance_state", "pending"),
            ("__meta_ec2_instance_type", "t4g.small"),
            ("__meta_ec2_owner_id", "4711"),
            ("__meta_ec2_private_ip", "10.0.0.13"),
            ("__meta_ec2_region", "eu-west-2"),
        ]);
        assert_eq!(all[1], expected);
    }
}
