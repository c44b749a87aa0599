#!/usr/bin/env bash
# Fetches what the tests with a real Kafka need from Maven Central: brokers of two major versions, the
# console share consumer, and the JMX exporter; and Spring Boot with its Actuator. Needs Maven and Java 17.
#   tests/e2e/get-kafka.sh target/kafka      then KAFKA_JARS=target/kafka
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
versions="3.9.1 4.2.0"
jmx=1.0.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # folder, dependencies
    [ -f "$out/$1/.complete" ] && return
    rm -rf "${out:?}/$1"
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>firewatch</groupId><artifactId>counterparts</artifactId><version>1</version>
  <dependencies>$2</dependencies>
</project>
POM
    mvn --quiet --batch-mode --file "$work/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$out/$1"
    touch "$out/$1/.complete"
}

for version in $versions; do
    # The tools without what they bring for Connect.
    fetch "$version" "
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>"
done
fetch jmx "<dependency><groupId>io.prometheus.jmx</groupId><artifactId>jmx_prometheus_javaagent</artifactId><version>$jmx</version></dependency>"
boot=3.4.1
fetch spring "
    <dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-web</artifactId><version>$boot</version></dependency>
    <dependency><groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-actuator</artifactId><version>$boot</version></dependency>
    <dependency><groupId>io.micrometer</groupId><artifactId>micrometer-registry-prometheus</artifactId><version>1.14.2</version></dependency>"
