import java.util.concurrent.atomic.AtomicInteger;
import javax.management.MXBean;
import javax.management.ObjectName;

/** A program with a bean of its own, for the JMX exporter; runs until it is killed. */
public class Shop {
    @MXBean
    public interface Orders {
        int getOpen();
    }

    public static void main(String[] args) throws Exception {
        AtomicInteger open = new AtomicInteger(7);
        Orders orders = open::get;
        java.lang.management.ManagementFactory.getPlatformMBeanServer()
                .registerMBean(orders, new ObjectName("firewatch:type=Orders,shop=corner"));
        Thread.sleep(Long.MAX_VALUE);
    }
}
