// A consumer on the Kinesis Client Library, 2 or 3, that shares a lease table with the router. System properties: `stream`, `app` (the lease
// table), `out`. Each record's data becomes a line of the file `out`, before the record is checkpointed. SIGTERM stops it gracefully.
// Endpoints and credentials come from the environment, as scripts/servers.sh sets them.
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.LeaseCleanupConfig;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.MetricsLevel;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

public class Consumer {
    static FileOutputStream out;

    static class Processor implements ShardRecordProcessor {
        public void initialize(InitializationInput input) {}

        public void processRecords(ProcessRecordsInput input) {
            if (input.records().isEmpty()) return;
            StringBuilder lines = new StringBuilder();
            for (KinesisClientRecord record : input.records()) {
                lines.append(StandardCharsets.UTF_8.decode(record.data().duplicate())).append('\n');
            }
            try {
                out.write(lines.toString().getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                throw new RuntimeException(e);
            }
            checkpoint(input.checkpointer());
        }

        public void leaseLost(LeaseLostInput input) {}

        public void shardEnded(ShardEndedInput input) {
            checkpoint(input.checkpointer());
        }

        public void shutdownRequested(ShutdownRequestedInput input) {
            checkpoint(input.checkpointer());
        }

        void checkpoint(RecordProcessorCheckpointer checkpointer) {
            try {
                checkpointer.checkpoint();
            } catch (Exception e) {
                System.err.println("no checkpoint: " + e);
            }
        }
    }

    static URI endpoint(String service) {
        return URI.create(System.getenv("AWS_ENDPOINT_URL_" + service));
    }

    public static void main(String[] args) throws Exception {
        String stream = System.getProperty("stream"), app = System.getProperty("app");
        out = new FileOutputStream(System.getProperty("out"), true);
        var http = NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP1_1).maxConcurrency(100);
        var region = Region.of(System.getenv("AWS_REGION"));
        var kinesis = KinesisAsyncClient.builder().region(region).httpClient(http.build()).endpointOverride(endpoint("KINESIS")).build();
        var dynamodb = DynamoDbAsyncClient.builder().region(region).httpClient(http.build()).endpointOverride(endpoint("DYNAMODB")).build();
        // Nothing is sent there: metrics are off.
        var cloudwatch = CloudWatchAsyncClient.builder().region(region).endpointOverride(URI.create("http://127.0.0.1:1")).build();
        var configs = new ConfigsBuilder(stream, app, kinesis, dynamodb, cloudwatch, "kcl-" + ProcessHandle.current().pid(), Processor::new);
        var coordinator = configs.coordinatorConfig();
        coordinator.parentShardPollIntervalMillis(1000);
        // From 3.5 on KCL can keep its leader, its workers and its migration in the lease table.
        if (Boolean.getBoolean("oneTable")) {
            coordinator.getClass().getMethod("migrateAllEntitiesToLeaseTable", boolean.class).invoke(coordinator, true);
            coordinator.getClass().getMethod("tableMigrationCompleteBakeTimeSeconds", long.class).invoke(coordinator, 5L);
        }
        var leases = configs.leaseManagementConfig();
        leases.failoverTimeMillis(5000).shardSyncIntervalMillis(5000);
        leases.leasesRecoveryAuditorExecutionFrequencyMillis(5000);
        // There is no setter; the defaults are minutes.
        var cleanup = LeaseCleanupConfig.builder().leaseCleanupIntervalMillis(3000).completedLeaseCleanupIntervalMillis(3000)
            .garbageLeaseCleanupIntervalMillis(60000).build();
        var field = leases.getClass().getDeclaredField("leaseCleanupConfig");
        field.setAccessible(true);
        field.set(leases, cleanup);
        var polling = new PollingConfig(stream, kinesis);
        polling.idleTimeBetweenReadsInMillis(500);
        var retrieval = configs.retrievalConfig().retrievalSpecificConfig(polling);
        retrieval.initialPositionInStreamExtended(InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
        var scheduler = new Scheduler(configs.checkpointConfig(), coordinator, leases, configs.lifecycleConfig(),
            configs.metricsConfig().metricsLevel(MetricsLevel.NONE), configs.processorConfig(), retrieval);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                scheduler.startGracefulShutdown().get(40, TimeUnit.SECONDS);
            } catch (Exception e) {
                System.err.println("not stopped gracefully: " + e);
            }
        }));
        scheduler.run();
    }
}
