//! Targets that come, change and go without a restart: HTTP discovery at scale, DNS, a Docker engine, a
//! swarm, an autoscaled group of EC2 instances; and reloads that disturb nobody.

mod dns;
mod docker;
mod ec2;
mod http;
mod reload;
mod store;
