//! Against services of Amazon's written from their documentation. A real client of theirs and moto are in
//! the end-to-end tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::fake::{Asked, Reply, pairs, serve};

type Env = BTreeMap<String, String>;
type Log = Arc<Mutex<Vec<Asked>>>;

fn credentials_xml(action: &str, key: &str) -> String {
    format!(
        "<{action}Response><{action}Result><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>token of {key}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></{action}Result></{action}Response>"
    )
}

fn credentials_json(key: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}}"#
    )
}

/// STS, a container's and an instance's own service, and EC2, all in one.
async fn amazon() -> (String, Log) {
    let log = Log::default();
    let asked_log = log.clone();
    let url = serve(move |mut asked| {
        if !asked.body.is_empty() {
            asked.parameters = pairs(&asked.body);
        }
        asked_log.lock().push(asked.clone());
        async move { answer(&asked) }
    })
    .await;
    (url, log)
}

fn answer(asked: &Asked) -> Reply {
    let is_known = asked.header("x-aws-ec2-metadata-token") == "imds token";
    match (asked.method.as_str(), asked.path.as_str()) {
        ("PUT", "/latest/api/token") => return Reply::ok("imds token"),
        ("GET", "/latest/meta-data/placement/region") if is_known => return Reply::ok("eu-west-9"),
        ("GET", "/latest/meta-data/iam/security-credentials/") if is_known => {
            return Reply::ok("my-role");
        }
        ("GET", "/latest/meta-data/iam/security-credentials/my-role") if is_known => {
            return Reply::ok(credentials_json("INSTANCE"));
        }
        ("GET", "/container") if asked.header("authorization") == "of the task" => {
            return Reply::ok(credentials_json("CONTAINER"));
        }
        ("POST", "/") => {}
        _ => return Reply::status(404, ""),
    }
    match asked.parameter("Action") {
        "AssumeRole" if asked.parameter("RoleArn") == "arn:forbidden" => Reply::status(
            403,
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>",
        ),
        action @ ("AssumeRole" | "AssumeRoleWithWebIdentity") => {
            Reply::ok(credentials_xml(action, asked.parameter("RoleArn")))
        }
        "DescribeAvailabilityZones" => Reply::status(
            403,
            "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>",
        ),
        "DescribeInstances" => match asked.parameter("NextToken") {
            "" => Reply::ok(page("i-1", "10.0.0.1", "<nextToken>more</nextToken>")),
            "more" => Reply::ok(page("i-2", "10.0.0.2", "")),
            _ => Reply::status(400, "?"),
        },
        _ => Reply::status(400, "?"),
    }
}

fn page(id: &str, ip: &str, more: &str) -> String {
    format!(
        "<DescribeInstancesResponse><reservationSet><item><ownerId>o</ownerId><instancesSet><item><instanceId>{id}</instanceId><privateIpAddress>{ip}</privateIpAddress></item></instancesSet></item></reservationSet>{more}</DescribeInstancesResponse>"
    )
}

fn client() -> http_client::Client {
    http_client::Client::new(&HttpClientConfig::default(), ClientOptions::default()).unwrap()
}

fn chain(section: &str, env: &[(&str, &str)]) -> Chain {
    let config: Ec2Config = yaml_config::from_str(section).unwrap();
    let env: Env = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Chain::with_env(
        &config.0.own,
        client(),
        Box::new(move |name| env.get(name).cloned()),
    )
}

async fn key(mut chain: Chain) -> Result<String, String> {
    let credentials = chain.credentials("eu-west-1").await?;
    Ok(credentials.access_key)
}

#[tokio::test]
async fn credentials_are_found_where_amazons_clients_look() {
    let (url, log) = amazon().await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let token = write("token", "the token\n");
    let file = write(
        "credentials",
        "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = s\n[ops]\naws_access_key_id = OPS\naws_secret_access_key = s\n[sso]\nsso_start_url = x\n",
    );
    let config = write(
        "config",
        "[profile deep]\nrole_arn = arn:deep\nsource_profile = middle\nexternal_id = x\n[profile middle]\nrole_arn = arn:middle\nsource_profile = ops\n[profile round]\nrole_arn = arn:r\nsource_profile = about\n[profile about]\nrole_arn = arn:a\nsource_profile = round\n[profile here]\nrole_arn = arn:here\ncredential_source = Ec2InstanceMetadata\n",
    );
    let files = [
        ("AWS_SHARED_CREDENTIALS_FILE", file.as_str()),
        ("AWS_CONFIG_FILE", config.as_str()),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
    ];
    let none = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
        ("HOME", "/nowhere"),
        ("AWS_ENDPOINT_URL", url.as_str()),
    ];
    let container = format!("{url}/container");
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Variables<'_>, Variables<'_>, &str); 11] = [
        (
            "{access_key: SECTION, secret_key: s}",
            &files,
            &[],
            "SECTION",
        ),
        (
            "{profile: ops}",
            &files,
            &[("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")],
            "OPS",
        ),
        (
            "{}",
            &files,
            &[("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")],
            "ENV",
        ),
        ("{}", &files, &[], "DEFAULT"),
        ("{}", &files, &[("AWS_PROFILE", "ops")], "OPS"),
        ("{profile: deep}", &files, &[], "arn:deep"),
        ("{profile: here}", &files, &[], "arn:here"),
        (
            "{}",
            &none,
            &[
                ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
                ("AWS_ROLE_ARN", "arn:web"),
            ],
            "arn:web",
        ),
        (
            "{}",
            &none,
            &[
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of the task"),
            ],
            "CONTAINER",
        ),
        ("{}", &none, &[], "INSTANCE"),
        (
            "{role_arn: 'arn:top', external_id: e}",
            &none,
            &[],
            "arn:top",
        ),
    ];
    for (section, files, variables, expected) in cases {
        let env = [files, variables].concat();
        let found = key(chain(section, &env)).await;
        assert_eq!(found.as_deref(), Ok(expected), "{section} {env:?}");
    }
    let log = log.lock().clone();
    let of_role = |arn: &str| {
        log.iter()
            .find(|asked| asked.parameter("RoleArn") == arn)
            .unwrap()
    };
    // The role on top is asked for with what the one below it gave.
    assert!(
        of_role("arn:deep")
            .header("authorization")
            .contains("Credential=arn:middle/")
    );
    assert_eq!(
        of_role("arn:deep").header("x-amz-security-token"),
        "token of arn:middle"
    );
    assert_eq!(of_role("arn:deep").parameter("ExternalId"), "x");
    assert!(
        of_role("arn:middle")
            .header("authorization")
            .contains("Credential=OPS/")
    );
    assert!(
        of_role("arn:here")
            .header("authorization")
            .contains("Credential=INSTANCE/")
    );
    assert_eq!(of_role("arn:top").parameter("ExternalId"), "e");
    assert_eq!(
        of_role("arn:web").parameter("WebIdentityToken"),
        "the token"
    );
    assert_eq!(of_role("arn:web").header("authorization"), "");

    for (section, env, error) in [
        (
            "{profile: sso}",
            &files[..],
            "profile sso: sso_start_url is not supported",
        ),
        (
            "{profile: round}",
            &files,
            "profiles name each other in a circle",
        ),
        (
            "{profile: gone}",
            &files,
            "failed to get shared config profile, gone",
        ),
        (
            "{role_arn: 'arn:forbidden'}",
            &files,
            "could not assume role arn:forbidden: AccessDenied: not you (status code: 403)",
        ),
        (
            "{}",
            &[("AWS_EC2_METADATA_DISABLED", "true")],
            "asking the instance is disabled",
        ),
    ] {
        let found = key(chain(section, env)).await.unwrap_err();
        assert!(found.contains(error), "{section}: {found}");
    }
}

#[tokio::test]
async fn the_region_is_found_as_well() {
    let (url, _) = amazon().await;
    let at = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
        ("HOME", "/nowhere"),
    ];
    let region = async |section, env: &[(&str, &str)]| chain(section, env).region().await;
    assert_eq!(region("{region: r}", &at).await.unwrap(), "r");
    assert_eq!(region("{}", &[("AWS_REGION", "e")]).await.unwrap(), "e");
    assert_eq!(region("{}", &at).await.unwrap(), "eu-west-9");
    let error = region("{}", &[("AWS_EC2_METADATA_DISABLED", "true")])
        .await
        .unwrap_err();
    assert!(
        error.starts_with("EC2 SD configuration requires a region: "),
        "{error}"
    );
}

#[tokio::test]
async fn instances_of_all_pages_and_no_zones_where_they_may_not_be_asked_for() {
    let (url, log) = amazon().await;
    let text = format!(
        "{{region: r, endpoint: '{url}/', access_key: A, secret_key: s, port: 9100, filters: [{{name: 'tag:a', values: [b, c d]}}, {{name: x, values: [y]}}]}}"
    );
    let config: Ec2Config = yaml_config::from_str(&text).unwrap();
    let section = config.0.own;
    let mut account = Account {
        chain: Chain::new(&section, client()),
        client: client(),
        zones: None,
        section,
    };
    let groups = account.look().await.unwrap();
    assert_eq!(groups[0].source, "r");
    let addresses: Vec<&str> = groups[0]
        .targets
        .iter()
        .map(|t| t.get("__address__"))
        .collect();
    assert_eq!(addresses, ["10.0.0.1:9100", "10.0.0.2:9100"]);
    let log = log.lock().clone();
    let asked = log
        .iter()
        .find(|asked| asked.parameter("Action") == "DescribeInstances")
        .unwrap();
    for (name, value) in [
        ("Filter.1.Name", "tag:a"),
        ("Filter.1.Value.1", "b"),
        ("Filter.1.Value.2", "c d"),
        ("Filter.2.Name", "x"),
        ("Version", "2016-11-15"),
    ] {
        assert_eq!(asked.parameter(name), value);
    }
    let authorization = asked.header("authorization");
    assert!(
        authorization.contains("/r/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date,"),
        "{authorization}"
    );
}

#[test]
fn sections() {
    let parse = |text: &str| yaml_config::from_str::<Ec2Config>(text);
    let config = parse("{region: eu-west-1, filters: [{name: 'tag:a', values: [b]}]}").unwrap();
    assert_eq!(config.0.own.port, 80);
    let error = parse("{region: x, filters: [{name: a}]}").unwrap_err();
    assert_eq!(
        error.message(),
        "EC2 SD configuration filter values cannot be empty"
    );
    assert!(parse("{region: x, access_key: a}").is_err());
}
