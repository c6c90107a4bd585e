import com.amazonaws.services.dynamodbv2.local.server.DynamoDBProxyServer;
import com.amazonaws.services.dynamodbv2.local.server.DynamoDBRequestHandler;
import com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBRequestHandler;
import com.amazonaws.services.dynamodbv2.local.server.LocalDynamoDBServerHandler;

/**
 * DynamoDB Local in memory, with a database per access key and with its test control, which its own command line
 * does not offer: an item {"ACTION": "ROLLOVER"} put into the table "[TEST_CONTROL]" closes every open shard of every
 * stream and opens its child, {"ACTION": "DILATE_TIME", "HOURS": "25"} moves the clock, so that records are trimmed.
 *
 * Argument: the port.
 */
public class DynamoDb {
    public static void main(String[] arguments) throws Exception {
        // Workers (0: as many as needed), in memory, database path, shared database, delays of states, test control.
        var constructor = LocalDynamoDBRequestHandler.class.getDeclaredConstructor(
            int.class, boolean.class, String.class, boolean.class, boolean.class, boolean.class);
        constructor.setAccessible(true);
        var handler = (DynamoDBRequestHandler) constructor.newInstance(0, true, null, false, false, true);
        var server = new DynamoDBProxyServer(
            Integer.parseInt(arguments[0]), new LocalDynamoDBServerHandler(handler, "*"));
        server.start();
        server.join();
    }
}
