import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Publishes records in a transaction, and reads them again in a group; record.py records what it says. */
public class JavaClient {
    static final int SAID = 5;

    public static void main(String[] args) {
        String kafka = System.getenv("KAFKA"), topic = System.getenv("TOPIC");
        var text = new StringSerializer();
        Map<String, Object> writes = Map.of("bootstrap.servers", kafka, "transactional.id", "java");
        try (var producer = new KafkaProducer<>(writes, text, text)) {
            producer.initTransactions();
            producer.beginTransaction();
            for (int number = 0; number < SAID; number++)
                producer.send(new ProducerRecord<>(topic, "key", Integer.toString(number)));
            producer.commitTransaction();
        }
        var read = new StringDeserializer();
        Map<String, Object> reads = Map.of(
            "bootstrap.servers", kafka, "group.id", "java", "auto.offset.reset", "earliest", "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(reads, read, read)) {
            consumer.subscribe(List.of(topic));
            for (int seen = 0; seen < SAID; ) seen += consumer.poll(Duration.ofSeconds(1)).count();
            consumer.commitSync();
        }
        System.out.println("Kafka's Java client");
    }
}
