import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.annotation.Configuration;

/** A Spring Boot service that has nothing but its Actuator. */
@Configuration(proxyBeanMethods = false)
@EnableAutoConfiguration
public class Service {
    public static void main(String[] args) {
        SpringApplication.run(Service.class, args);
    }
}
