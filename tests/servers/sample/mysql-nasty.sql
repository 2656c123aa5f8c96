-- What is legal and rare: line breaks and comment ends in names, empty things, bytes that are no text.
-- The user variable @wide, in bytes, is set by the loader.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
CREATE TABLE `two
lines */ -- ;` (`a
b` int NOT NULL PRIMARY KEY, `*/ /*!99999 x` varchar(20), `;;` int COMMENT '
DELIMITER ;;
*/') ENGINE=InnoDB COMMENT='
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
';
INSERT INTO `two
lines */ -- ;` VALUES (0, '*/', 0), (-1, '\n--', NULL);
CREATE TABLE zero_is_a_value (id int NOT NULL AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO zero_is_a_value VALUES (0), (1);
-- Bytes that are valid in the column's character set and not in UTF-8, and the reverse.
CREATE TABLE not_utf8 (id int PRIMARY KEY, l varchar(300) CHARACTER SET latin1, s varchar(100) CHARACTER SET sjis, g varchar(100) CHARACTER SET gbk, b varbinary(300)) ENGINE=InnoDB;
INSERT INTO not_utf8 VALUES (1, _latin1 0xE9FF80275C, _sjis 0x835C8E5C, _gbk 0xBF5C27, 0xFFFEC0AF5C27220A0D1A00);
-- sjis and gbk characters whose second byte is a backslash: a scanner that forgets the character set ends the string early.
CREATE TABLE wide (id int PRIMARY KEY, content longblob) ENGINE=InnoDB;
INSERT INTO wide VALUES (1, repeat(unhex('005C2722600A1A0D2A2F'), @wide DIV 10)), (2, repeat('a', @wide));
CREATE DEFINER=`new
line */ user`@`%` VIEW `view
*/ name` AS SELECT 1 AS `x
y`;
DELIMITER $$
CREATE DEFINER=`new
line */ user`@`%` PROCEDURE `proc
*/`() COMMENT '*/' BEGIN /* DEFINER=`a`@`b` */ SELECT "it's \" \\", '*/', `a
b` FROM `two
lines */ -- ;`; END$$
CREATE DEFINER=CURRENT_USER TRIGGER `trig
*/ DEFINER=` BEFORE INSERT ON zero_is_a_value FOR EACH ROW SET NEW.id = NEW.id$$
DELIMITER ;
