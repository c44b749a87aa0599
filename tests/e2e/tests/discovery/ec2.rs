//! EC2 discovery against moto, driven by Amazon's own client: an autoscaled group whose instances are
//! targets of their own each.

use std::process::Command;

use e2e::{Process, free_port, part, wait_for};
use serde_json::Value;

use crate::store::{LIMIT, Store, addresses};

const HOW: &str = "pip install moto flask flask-cors boto3, in the python3 of the PATH";
const GROUP: &str = "web";

/// Amazon, as moto plays it.
struct Amazon {
    _process: Process,
    url: String,
    python: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Amazon {
    fn start() -> Option<Amazon> {
        let python = part::program("python3", HOW)?;
        let found = Command::new(&python)
            .args(["-c", "import moto.server, boto3, flask_cors"])
            .output();
        if !found.is_ok_and(|output| output.status.success()) {
            part::missing("moto", HOW);
            return None;
        }
        let dir = tempfile::tempdir().expect("there is room for a temporary folder");
        let port = free_port();
        let args = [
            "-m",
            "moto.server",
            "-H",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ]
        .map(str::to_owned);
        let process = Process::start("moto", &python, &args, dir.path());
        let url = format!("http://127.0.0.1:{port}");
        wait_for("moto answers", LIMIT, || {
            e2e::get(&format!("{url}/moto-api/"))
        });
        Some(Amazon {
            _process: process,
            url,
            python,
            _dir: dir,
        })
    }

    /// Runs a script with clients for the services; what it prints is JSON.
    fn run(&self, script: &str) -> Value {
        let clients = format!(
            "import json, boto3\ndef client(name):\n    return boto3.client(name, region_name='eu-west-1', endpoint_url='{}', aws_access_key_id='admin', aws_secret_access_key='admin')\nec2, scaling, iam = client('ec2'), client('autoscaling'), client('iam')\n",
            self.url
        );
        let output = Command::new(&self.python)
            .args(["-c", &format!("{clients}{script}")])
            .output();
        let output = output.expect("python can be run");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// The private addresses of the group's running instances, as targets.
    fn addresses(&self) -> Vec<String> {
        let found = self.run(&format!(
            "pages = ec2.describe_instances(Filters=[{{'Name': 'tag:aws:autoscaling:groupName', 'Values': ['{GROUP}']}}, {{'Name': 'instance-state-name', 'Values': ['running']}}])\nprint(json.dumps(sorted(i['PrivateIpAddress'] + ':9100' for r in pages['Reservations'] for i in r['Instances'])))"
        ));
        serde_json::from_value(found).expect("a list of texts")
    }
}

#[test]
fn autoscaled_instances_are_targets_of_their_own() {
    let Some(amazon) = Amazon::start() else {
        return;
    };
    let keys = amazon.run(&format!(
        "
image = ec2.describe_images(Owners=['amazon'])['Images'][0]['ImageId']
subnet = ec2.describe_subnets()['Subnets'][0]
scaling.create_launch_configuration(LaunchConfigurationName='l', ImageId=image, InstanceType='t3.small')
scaling.create_auto_scaling_group(AutoScalingGroupName='{GROUP}', LaunchConfigurationName='l', MinSize=0, MaxSize=9,
    DesiredCapacity=3, VPCZoneIdentifier=subnet['SubnetId'], Tags=[{{'Key': 'team', 'Value': 'a', 'PropagateAtLaunch': True}}])
ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
iam.create_user(UserName='monitoring')
iam.put_user_policy(UserName='monitoring', PolicyName='see', PolicyDocument=json.dumps({{'Version': '2012-10-17', 'Statement': [{{'Effect': 'Allow', 'Action': ['ec2:Describe*', 'sts:AssumeRole'], 'Resource': '*'}}]}}))
iam.create_role(RoleName='watcher', AssumeRolePolicyDocument=json.dumps({{'Version': '2012-10-17', 'Statement': [{{'Effect': 'Allow', 'Principal': {{'AWS': '*'}}, 'Action': 'sts:AssumeRole'}}]}}))
iam.put_role_policy(RoleName='watcher', PolicyName='see', PolicyDocument=json.dumps({{'Version': '2012-10-17', 'Statement': [{{'Effect': 'Allow', 'Action': 'ec2:Describe*', 'Resource': '*'}}]}}))
key = iam.create_access_key(UserName='monitoring')['AccessKey']
print(json.dumps({{'id': key['AccessKeyId'], 'secret': key['SecretAccessKey'], 'subnet': subnet['SubnetId'], 'zone': subnet['AvailabilityZone'], 'zone_id': subnet['AvailabilityZoneId'], 'image': image}}))
"
    ));
    let text = |name: &str| keys[name].as_str().expect("a text").to_owned();
    let section = |secret: &str| {
        format!(
            "  - {{region: eu-west-1, endpoint: '{}', access_key: {}, secret_key: '{secret}', port: 9100, refresh_interval: 1s, filters: [{{name: 'tag:aws:autoscaling:groupName', values: [{GROUP}]}}, {{name: instance-state-name, values: [running]}}]}}\n",
            amazon.url,
            text("id"),
        )
    };
    let config = |secret: &str| {
        format!(
            "scrape_configs:\n- job_name: ec2\n  scrape_interval: 10m\n  ec2_sd_configs:\n{}",
            section(secret)
        )
    };
    let three = amazon.addresses();
    assert_eq!(three.len(), 3);
    let store = Store::start(&config(&text("secret")), &[]);
    let expected: Vec<&str> = three.iter().map(String::as_str).collect();
    let targets = store.until_addresses(&expected);
    let discovered = &targets[0].discovered;
    for (label, value) in [
        ("ami", text("image")),
        ("availability_zone", text("zone")),
        ("availability_zone_id", text("zone_id")),
        ("instance_state", "running".to_owned()),
        ("instance_type", "t3.small".to_owned()),
        ("primary_subnet_id", text("subnet")),
        ("subnet_id", format!(",{},", text("subnet"))),
        ("region", "eu-west-1".to_owned()),
        ("tag_aws_autoscaling_groupName", GROUP.to_owned()),
        ("tag_team", "a".to_owned()),
        ("owner_id", "123456789012".to_owned()),
    ] {
        assert_eq!(
            discovered.get(&format!("__meta_ec2_{label}")),
            Some(&value),
            "{label}"
        );
    }

    // The group grows and shrinks.
    for capacity in [5, 2] {
        amazon.run(&format!("scaling.set_desired_capacity(AutoScalingGroupName='{GROUP}', DesiredCapacity={capacity})"));
        let now = amazon.addresses();
        assert_eq!(now.len(), capacity);
        store.until_addresses(&now.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let last = amazon.addresses();
    let last: Vec<&str> = last.iter().map(String::as_str).collect();

    // From here on moto looks at signatures as Amazon does: ours are right, and what is refused is told.
    let (status, _) =
        e2e::post(&format!("{}/moto-api/reset-auth", amazon.url), &[], b"0").expect("moto answers");
    assert_eq!(status, 200);
    let refreshes = || store.metric("prometheus_sd_refresh_duration_seconds_count");
    let then = refreshes();
    wait_for(
        "refreshes with signatures that are looked at",
        LIMIT,
        || (refreshes() >= then + 3.0).then_some(()),
    );
    assert_eq!(store.problems(), Vec::<Value>::new());
    assert_eq!(addresses(&store.targets()), last);
    store.write("prometheus.yml", &config("wrong"));
    assert_eq!(store.reload().0, 200);
    store.until_problem("could not describe instances");
    assert!(store.metric("prometheus_sd_refresh_failures_total") >= 1.0);
    store.write("prometheus.yml", &config(&text("secret")));
    assert_eq!(store.reload().0, 200);
    store.until_addresses(&last);
    wait_for("no problem", LIMIT, || {
        store.problems().is_empty().then_some(())
    });
}
